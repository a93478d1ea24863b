//go:build proof

package battery

const brief = false
