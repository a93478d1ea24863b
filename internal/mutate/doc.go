// Package mutate finds conditions of writes that no test needs, by taking each
// of them away and looking whether a test turns red.
//
// It finds the conditions itself, so that a new one is tried without anybody's
// doing. Those that DynamoDB checks are seen at the API border of the store:
// Wrap notes each that the tests send, and changes one of them. Those that
// stand in Go are found in the source, by Source: every condition of a function
// that returns connection.ErrConflict or connection.ErrNotFound. All variants of
// a package are in one binary; the environment chooses which of them is played.
//
// A mutant that changes nothing stands in the test's list of equal ones with
// the reason. Only tests import this package, and it tries no other mutations:
// what a write writes is for the suite's round trips to check.
package mutate
