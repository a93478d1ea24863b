// Package dynamotest gives tests a DynamoDB to talk to: an emulator on this
// machine, with tables made from template.yaml, so that code and deployment
// cannot drift apart.
//
// It takes the emulator at DYNAMODB_ENDPOINT, else it runs dynoxide or dynalite,
// from .tools/bin or from PATH. moto is none of them: its conditional writes let
// two winners through. Only tests import this package.
package dynamotest
