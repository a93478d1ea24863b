// Package deployment holds the tests of what is deployed, as far as it can be
// known without an AWS account: each environment of samconfig.toml, a stack that
// takes every default, and one with all that can be asked for are translated by
// the real SAM translator and rendered, that is, their conditions and parameters
// are put in. So a test sees the resources that CloudFormation would create, those
// that SAM adds included. It has no code of its own.
//
// What only AWS knows, such as an ARN, stays a reference. Package template renders,
// and holds the rules of template.yaml itself.
//
// A new rule is one line in rules. A new parameter whose default is empty needs
// its value in chosen. What the policy scan finds and may stay stands in
// policy-exceptions.yaml beside the template, with its reason.
package deployment
