//go:build !race

package capacity

// part says which part of a million connections is played: all.
const part = 1
