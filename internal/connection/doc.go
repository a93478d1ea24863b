// Package connection holds the records that the stores keep and the functions
// share, and the arithmetic of their times.
//
// A record changes only by the operations that the stores offer (Claim,
// Commit, Connect, Disconnect), each one conditional write. The store
// adapters are internal/dynamo, internal/bolt and connectiontest.Memory; the
// suite in internal/connectiontest holds all three to the promises written
// here. This package does no I/O and never reads the clock.
package connection
