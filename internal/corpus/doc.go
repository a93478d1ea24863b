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
//	CORPUS=sums go test ./internal/corpus
//
// and commit it. testdata/SHA256SUMS has the sum of each format, and of each
// schema of the events that hosts are told (events/schemas/N is the N-th set of
// those). The second command adds lines to it, and changes none. The first tag
// freezes it: from then on no line changes or goes, so that
//
//	git diff FIRST_TAG -- internal/corpus/testdata/SHA256SUMS
//
// only adds. Before that, remove the line and make it anew.
//
// What local mode stores is not here: its database is made anew at will.
package corpus
