// Package lambdatest runs the functions as Lambda does: the bootstrap that make
// builds, as a process of its own, against a Runtime API, with the variables
// that template.yaml gives it. So a test sees what is deployed: build flags,
// wiring, settings, what is printed, what happens when a process is killed.
//
// Around the functions stand a DynamoDB emulator (package dynamotest), moto as
// Secrets Manager and the simulated providers; a [Recorder] in front of each
// AWS service counts the calls, and a [Network] can misbehave on the way to a
// provider. IAM, API Gateway and the schedule are not played: events come from
// the folder events/, and the tests of package template hold the rights.
//
// A new setting in template.yaml needs its value in World.Environment. A new
// function needs its time-out in timeouts. Only tests import this package.
package lambdatest
