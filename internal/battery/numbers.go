package battery

// lastOfOurs is the last number of what authorize, callback and the exchange of
// a code meet. Later ones are met by the refresh, the stores and the secrets;
// cases bear those of them that a browser can meet too.
const lastOfOurs = 85

// inputs is the list of bad inputs and faults.
var inputs = map[int]string{
	1: "no connect ticket", 2: "a ticket that was changed or forged", 3: "an expired ticket, or one of the future", 4: "a ticket used again",
	5: "a ticket used twice at once", 6: "a ticket for somewhere else", 7: "an unknown or unconfigured provider", 8: "a connection ID that is none",
	9: "return_to in the query", 10: "return_to off the allow-list", 11: "parameters of ours in the query", 12: "a connection field that breaks out",
	13: "a parameter twice", 14: "a query that is too long, too many or not encoded", 15: "another method", 16: "HEAD and prefetch",
	17: "a link that is framed or fetched", 18: "ten thousand forged tickets a minute", 19: "more requests under way than anybody needs", 20: "cookies that fill the header",
	21: "no randomness", 22: "a store that is down at authorize", 23: "a write at authorize whose answer is lost", 24: "a forged Host or X-Forwarded header",

	25: "a callback without parameters", 26: "a state that is missing, unknown or ill-formed", 27: "a state without its cookie", 28: "a state with another's cookie",
	29: "an authorization request that has expired", 30: "the same callback again", 31: "the same callback fifty times at once", 32: "a scanner that is first",
	33: "another provider's path", 34: "an issuer that is wrong", 35: "a user who declines", 36: "an error without a state", 37: "an error that is an attack",
	38: "a code and an error", 39: "a code that is empty, long or strange", 40: "two codes or two states", 41: "a token in the query", 42: "a stolen code, with PKCE",
	43: "a stolen code, without PKCE", 44: "another user's browser", 45: "a completion that is wrong, late or repeated", 46: "a completion that never comes",
	47: "an answer by form_post", 48: "a client that changes under way", 49: "a crash before the exchange", 50: "a crash after the exchange", 51: "a store that does not take the grant",
	52: "another account than before", 53: "whData that is none", 54: "whData that was stolen",

	55: "a good answer", 56: "200 with an error", 57: "200 with a page", 58: "200 with a body that is empty, torn or of another length", 59: "200 without an access token",
	60: "a token_type that is missing, small or unknown", 61: "an expires_in that is odd", 62: "no refresh token", 63: "the old refresh token again",
	64: "an empty refresh token", 65: "fewer scopes", 66: "an answer without end", 67: "a member twice", 68: "an answer that is a form", 69: "201, 202, 204",
	70: "a redirect", 71: "invalid_grant", 72: "invalid_grant after somebody else's refresh", 73: "invalid_client", 74: "a request that the provider finds wrong", 75: "400 with a page or an unknown code",
	76: "a firewall's 403", 77: "429", 78: "5xx", 79: "a provider that cannot be reached", 80: "no answer in time, nothing sent", 81: "no answer in time, all sent",
	82: "a certificate that is wrong", 83: "a token that is strange or long", 84: "an error that repeats a secret", 85: "an answer byte by byte",

	102: "a table that cannot be read", 105: "a row that is not as it should be", 107: "a client secret that is missing or malformed", 109: "a client secret that is rotated under way",
	112: "a clock that is off", 114: "times out of any range", 116: "an event of another shape",
}

// elsewhere names the tests of the numbers that nothing here plays, and says why
// that is so.
var elsewhere = map[int]reason{
	21: {tests: []string{"TestWithoutRandomnessNothingIsStarted"}, why: "since a process without randomness ends (crypto/rand), and has no answer, row or line to look at"},
}

// A reason is why a number has no case.
type reason struct {
	tests []string // which play it, by name
	why   string
}
