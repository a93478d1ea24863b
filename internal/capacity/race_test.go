//go:build race

package capacity

// part says which part of a million connections is played: with the race
// detector, which takes many times as long, half.
const part = 0.5
