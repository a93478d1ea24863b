// Package peers proves the client and the refresh against authorization servers
// that nobody here wrote: npm's oidc-provider, which ends the grant when a
// refresh token is used again, and Debian's Doorkeeper, the software behind
// Whiplash, in both of its ways to rotate. It has no code of its own.
//
// The servers are small set-ups in testdata/, run as processes on loopback
// ports by the tests that need them, with logins that a test can do. Each keeps
// a ledger of what it has issued and rotated, and what that is worth now: the
// tests judge by that, not by what the client believes. Servers run on real
// time, and what they issue outlives every test; the clock on our side is moved.
// Between the two stands a wire that loses what a test tells it to lose.
//
// The cases in which the OpenID Foundation's conformance suite plays a server
// against a client are a table, clientCases: both handlers, as a browser meets
// them, at oidc-provider and at the simulator.
//
// The simulator plays more kinds of misbehaviour than these servers have; its
// strictness is worth as much as these tests say that it is real. For another
// server, add its set-up to testdata/ and a peer to peers_test.go.
package peers
