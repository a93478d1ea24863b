// Package corpus holds what each release of Evergrant has written, and shows
// that every later one reads it: the items of both tables and what is sealed.
// It has no code of its own but its tests.
//
// While a deployment is under way two releases work on the same tables, so
// that the older must stand what the newer writes, too. A release may therefore
// add an attribute, and may neither take one away nor give it another type or
// meaning; attributes that it does not know it leaves alone.
//
// testdata/N.json is the N-th format. TestThisReleaseWritesTheLatestFormat fails
// where the code writes another: take the change back, or, if it only adds, make
// the next file with
//
//	CORPUS=write go test ./internal/corpus
//
// and commit it. A file that was released never changes. What local mode
// stores is not here: its database is made anew at will.
package corpus
