//go:build !proof

package battery

// brief says that each case is played in one way; make proof plays both.
const brief = true
