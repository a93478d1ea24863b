// Package lambdatest runs the functions as Lambda does: the bootstrap that make
// builds, as a process of its own, against a Runtime API, with the variables
// that template.yaml gives it. So a test sees what is deployed: build flags,
// wiring, settings, what is printed, what happens when a process is killed.
//
// Around the functions stand a DynamoDB emulator (package dynamotest), moto as
// Secrets Manager and the simulated providers; a [Recorder] in front of each
// AWS service counts the calls, and a [Network] can misbehave on the way to a
// provider. IAM is played by the policies of template.yaml: what a function's role
// does not allow is refused, and fails the test; a right that no test has used
// fails the run of all of them. Events come from the folder events/. What hands them
// over, API Gateway, the schedule, the queue and the stream, is played for the alarms
// alone (account_test.go).
//
// A new setting in template.yaml needs its value in World.Environment, and a place
// in naming where it names something. A new function needs its time-out in
// timeouts, and its duty in rights_test.go. Only tests import this package.
package lambdatest
