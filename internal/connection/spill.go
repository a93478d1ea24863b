package connection

// A SpillKey names tokens that wait outside of the connections table, since it
// did not take them: those that a refresh brought, by the fence of its claim, or
// those of a new grant, by when it was given. One of Fence and Grant is set.
type SpillKey struct {
	Key
	Fence int64
	Grant int64 // nanoseconds of Unix time
}

// A SpillEntry is one of a list of spills.
type SpillEntry struct {
	SpillKey
	Sealed []byte
	Err    error // why it cannot be read; the rest is not set then
}
