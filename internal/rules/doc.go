// Package rules holds the tests of what is true of the whole repository: which
// package may import which, that every event is used, that every exported
// symbol is documented, and that template and functions agree on settings. It
// has no code of its own.
package rules
