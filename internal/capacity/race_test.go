//go:build race

package capacity

// part says which part of a million connections is played: with the race
// detector, which takes many times as long, an eighth. make million plays all.
const part = 0.125
