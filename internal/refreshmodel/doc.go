// Package refreshmodel is the proof behind internal/refresh: refresh.pml is the
// protocol as a Promela model, and its tests let spin try every order of steps,
// crashes, lost messages and stores out of reach. It is not the code, and has
// none of its own.
//
// spin searches the states completely, for one attempt of each of two workers in
// `make test` and for two in `make model`. The search must find no error, and must
// reach every statement of a worker, so that the model cannot become empty
// without a test that says so. Without any one rule, and with any of the mistakes
// that refresh.pml names, it must find a counter-example.
//
// Change the protocol in the model first, then in internal/refresh. The labels of
// proctype Worker are its steps, and this is where the code takes them:
//
//	label     internal/refresh                                 and in the model
//	again     Renewer.Renew, for each connection that is due   an attempt begins
//	prepare   Renewer.prepare                                  up to the claim nothing is written
//	claim     Leases.Claim, as called by Renewer.claim         fence is the old image's plus one
//	recover   Renewer.recover                                  spills between stored_fence and fence, the newest
//	send      Renewer.request, Renewer.send                    one request; not sent: Renewer.fail releases the lease
//	answered  Renewer.fail, Renewer.refused                    unknown: the lease stays; invalid_grant: by the fence's holder
//	commit    Renewer.commit, Leases.Commit                    conditional on the fence; also its lost acknowledgement
//	spill     Renewer.keeper, which keeps tokens               the fence in its name
//	crash     any line, or any call whose outcome is unknown   nothing is cleaned up
//	leave     the return of Renewer.Renew                      nothing outlives it
//	stop      the end of the run                               no attempts are left
//
// BOUND is Claim.Until, which ends settle after the invocation must have; the
// settle time is also what excludes LATE. FENCE is the condition of Leases.Commit.
// SPLITREAD is excluded by Leases.Claim, which returns the old image.
// EARLYRELEASE is excluded by the order in Renewer.try: nothing that ends the
// lease, such as Renewer.release, comes before Renewer.recover. BLIND is excluded
// by Renewer.recover, whose error ends the attempt with the lease left in place.
//
// The model is simpler than the code in these ways, none of which hides a send or
// a write of tokens. It believes the first invalid_grant, where Renewer.refused
// asks again minutes later. With SEARCH it has the look at the spill that comes
// before a grant is given up, a spill that comes late, and Rescuer.Rescue, whose
// write is Search's, under the fence that it has read; all these with one attempt
// of each worker. Leases.Defer changes what the model does not have, the failure
// and when the connection is due: lease, fence and tokens stay as they are. The
// provider is of the class strict; of the others,
// which stand a second use, less is asked. Spilled tokens stay, where the code
// deletes them once they are stored. The log as the last resort does not exist:
// with both stores away the tokens are lost. Disconnecting is like connecting
// again, with one grant fewer. There is one connection, a row whose writes take
// effect one after the other, a spill that shows what was written, one of SEARCH
// excepted, and one reconnect at most.
package refreshmodel
