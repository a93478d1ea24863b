// Package recipes runs the programs of README.md: those that make a connect
// link, complete a connection and read a token, in Go, Python and Node, as they
// stand there, with the libraries that make tools installs. Our
// own authorize function judges the links; the tokens come from a DynamoDB
// emulator, and Secrets Manager is played. What they ask for is what the managed
// policies of template.yaml for readers and hosts allow. Commands of the AWS CLI there
// and in docs are looked at and not run. It has no code of its own.
//
// A program that is added to a document must be added to this package, or a
// test fails. A library that it needs goes to testdata/package.json or, for
// Python, into the Makefile.
package recipes
