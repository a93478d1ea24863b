// Package flowtest walks the whole way in one process: a ticket, the provider's
// pages, the callback, time that passes, refreshes, a reader, a disconnect. Its
// test is also the shortest account of how the parts fit together. It has no
// code of its own.
package flowtest
