// Package oauth speaks OAuth 2.0 (RFC 6749) as a confidential client: the
// authorization URL, code exchange, refresh, revocation and account look-up,
// and the few calls of providers that are not quite OAuth.
//
// It sends one request per call: an explicit client authentication, no
// probing, no retry, no redirect followed, capped in time and size. A failure
// says whether the request can have reached the provider, and RemedyFor says
// what to do about it.
//
// It stores nothing and knows no connection. Quirks belong into the
// definitions of pkg/providers; only a new kind of quirk changes this package.
package oauth
