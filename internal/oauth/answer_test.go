package oauth

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// An outcome is what a token request comes to: tokens, or an error.
type outcome struct {
	access, refresh string // with an access token it is a success
	tokenType       string // "": Bearer
	life            time.Duration
	scopes          []string
	refreshLife     time.Duration

	code       string
	remedy     Remedy
	unknown    bool
	retryAfter time.Duration
}

// granted is the success that the tables mostly expect.
func granted(life time.Duration, scopes ...string) outcome {
	return outcome{access: "at", refresh: "rt", life: life, scopes: scopes}
}

// ambiguous is the failure after which nobody knows whether the provider acted.
var ambiguous = outcome{unknown: true}

func refused(code string, remedy Remedy) outcome { return outcome{code: code, remedy: remedy} }

// with returns an answer with both tokens and more members.
func with(members string) string {
	return `{"access_token":"at","refresh_token":"rt","token_type":"Bearer"` + members + `}`
}

// An answerCase is one answer of a token endpoint.
type answerCase struct {
	name        string
	provider    string // "": one without deviations
	status      int    // 0: 200
	contentType string // "": application/json
	retryAfter  string
	body        string
	want        outcome
	exchange    *outcome // where the exchange comes to something else than the refresh
}

const hour = time.Hour

var answerCases = []answerCase{
	{name: "valid", body: with(`,"expires_in":3600,"scope":"a b"`), want: granted(hour, "a", "b")},
	{name: "valid with unknown members", body: with(`,"x":{"y":[1,true,null]},"z":1e5`), want: granted(0)},
	{name: "JSON labelled text/plain", contentType: "text/plain", body: with(`,"expires_in":3600`), want: granted(hour)},
	{name: "JSON labelled HTML", contentType: "text/html", body: with(`,"expires_in":3600`), want: granted(hour)},
	{name: "JSON with a byte order mark", body: "\ufeff" + with(`,"expires_in":3600`), want: granted(hour)},
	{name: "JSON between white space", body: "\r\n\t " + with(``) + "\n\n", want: granted(0)},
	{name: "form", contentType: "application/x-www-form-urlencoded", body: "access_token=at&refresh_token=rt&expires_in=3600&scope=a+b%2Cc&token_type=bearer", want: granted(hour, "a", "b", "c")},
	{name: "form labelled JSON", body: "access_token=at&refresh_token=rt", want: granted(0)},
	{name: "201", status: 201, body: with(`,"expires_in":3600`), want: granted(hour)},

	{name: "expires_in 3600.0", body: with(`,"expires_in":3600.0`), want: granted(hour)},
	{name: "expires_in 3600.5", body: with(`,"expires_in":3600.5`), want: granted(hour)},
	{name: `expires_in "3600"`, body: with(`,"expires_in":"3600"`), want: granted(hour)},
	{name: `expires_in " 3600 "`, body: with(`,"expires_in":" 3600 "`), want: granted(hour)},
	{name: "expires_in 3.6e3", body: with(`,"expires_in":3.6e3`), want: granted(hour)},
	{name: `expires_in ""`, body: with(`,"expires_in":""`), want: granted(0)},
	{name: "expires_in absent", body: with(``), want: granted(0)},
	{name: "expires_in null", body: with(`,"expires_in":null`), want: granted(0)},
	{name: "expires_in -1", body: with(`,"expires_in":-1`), want: granted(0)},
	{name: "expires_in 0", body: with(`,"expires_in":0`), want: granted(0)},
	{name: "expires_in 0.4", body: with(`,"expires_in":0.4`), want: granted(0)},
	{name: "expires_in 1e99", body: with(`,"expires_in":1e99`), want: granted(100 * 365 * 24 * hour)},
	{name: "expires_in -1e999", body: with(`,"expires_in":-1e999`), want: granted(0)},
	{name: "expires_in garbage", body: with(`,"expires_in":"soon"`), want: granted(0)},
	{name: "expires_in NaN", body: with(`,"expires_in":"NaN"`), want: granted(0)},
	{name: "expires_in a list", body: with(`,"expires_in":[3600]`), want: granted(0)},
	{name: "expires_in absent where the definition knows the life", provider: "whiplash", body: with(``), want: granted(2 * hour)},
	{name: "expires_in -1 where the definition knows the life", provider: "whiplash", body: with(`,"expires_in":-1`), want: granted(2 * hour)},
	{name: "expires_in counts from a created_at close behind", provider: "whiplash", body: with(`,"expires_in":7200,"created_at":1795435170`), want: granted(2*hour - 30*time.Second)},
	{name: "expires_in counts from receipt where created_at is ahead", provider: "whiplash", body: with(`,"expires_in":7200,"created_at":1795435201`), want: granted(2 * hour)},
	{name: "expires_in counts from receipt where created_at is long ago", provider: "whiplash", body: with(`,"expires_in":7200,"created_at":1510698627`), want: granted(2 * hour)},
	{name: "expires_in counts from receipt where created_at is garbage", provider: "whiplash", body: with(`,"expires_in":7200,"created_at":"2017-11-14"`), want: granted(2 * hour)},
	{name: "a short life counts from receipt where created_at would use it up", provider: "whiplash", body: with(`,"expires_in":30,"created_at":1795435160`), want: granted(30 * time.Second)},
	{name: "a JWT that ended long ago", body: `{"access_token":"e30.eyJleHAiOjF9.c2ln","refresh_token":"rt"}`, want: outcome{access: "e30.eyJleHAiOjF9.c2ln", refresh: "rt"}},
	{name: "a JWT names its end", body: `{"access_token":"eyJhbGciOiJub25lIn0.eyJleHAiOjE3OTU0Mzg4MDB9.c2ln","refresh_token":"rt"}`, want: outcome{access: "eyJhbGciOiJub25lIn0.eyJleHAiOjE3OTU0Mzg4MDB9.c2ln", refresh: "rt", life: hour}},
	{name: "expires_in counts before a JWT", body: `{"expires_in":60,"access_token":"eyJhbGciOiJub25lIn0.eyJleHAiOjE3OTU0Mzg4MDB9.c2ln","refresh_token":"rt"}`, want: outcome{access: "eyJhbGciOiJub25lIn0.eyJleHAiOjE3OTU0Mzg4MDB9.c2ln", refresh: "rt", life: time.Minute}},
	{name: "what looks like a JWT and is none", body: `{"access_token":"a.b!.c","refresh_token":"rt"}`, want: outcome{access: "a.b!.c", refresh: "rt"}},

	{name: "what looks like a JWT and holds no object", body: `{"access_token":"a.W10.c","refresh_token":"rt"}`, want: outcome{access: "a.W10.c", refresh: "rt"}},
	{name: "a JWT without an end", body: `{"access_token":"a.e30.c","refresh_token":"rt"}`, want: outcome{access: "a.e30.c", refresh: "rt"}},
	{name: "scope as an array", body: with(`,"scope":["a","b"]`), want: granted(0, "a", "b")},
	{name: "scope as an array with odd elements", body: with(`,"scope":["a",1,null,"",{"b":1},"b"]`), want: granted(0, "a", "b")},
	{name: "scope with spaces", body: with(`,"scope":" a  b "`), want: granted(0, "a", "b")},
	{name: "scope with commas", body: with(`,"scope":"a,b, c"`), want: granted(0, "a", "b", "c")},
	{name: "scope empty", body: with(`,"scope":""`), want: granted(0)},
	{name: "scope blank", body: with(`,"scope":" , "`), want: granted(0)},
	{name: "scope that repeats itself", body: with(`,"scope":"a b a"`), want: granted(0, "a", "b")},
	{name: "scope as an array that repeats itself", body: with(`,"scope":["b","a","b"]`), want: granted(0, "b", "a")},
	{name: "scope absent", body: with(``), want: granted(0)},
	{name: "scope null", body: with(`,"scope":null`), want: granted(0)},
	{name: "scope an empty array", body: with(`,"scope":[]`), want: granted(0)},
	{name: "scope a number", body: with(`,"scope":7`), want: granted(0)},

	{name: "no refresh token", body: `{"access_token":"at"}`, want: outcome{access: "at"}},
	{name: "refresh token empty", body: `{"access_token":"at","refresh_token":""}`, want: outcome{access: "at"}},
	{name: "refresh token null", body: `{"access_token":"at","refresh_token":null}`, want: outcome{access: "at"}},
	{name: "no refresh token where the definition knows how long one lives", provider: "whisk", body: `{"access_token":"at"}`, want: outcome{access: "at"}},
	{name: "the definition knows how long a refresh token lives", provider: "whisk", body: with(`,"expires_in":2592000`), want: outcome{access: "at", refresh: "rt", life: 720 * hour, refreshLife: 365 * 24 * hour}},
	{name: "the answer says how long a refresh token lives", provider: "whisk", body: with(`,"refresh_token_expires_in":3600`), want: outcome{access: "at", refresh: "rt", refreshLife: hour}},
	{name: "the answer says it by the other name", body: with(`,"refresh_expires_in":"3600"`), want: outcome{access: "at", refresh: "rt", refreshLife: hour}},
	{name: "0 seconds of a refresh token say nothing", body: with(`,"refresh_expires_in":0`), want: granted(0)},
	{name: "refresh token the same as before", body: `{"access_token":"at","refresh_token":"` + refreshToken + `"}`, want: outcome{access: "at", refresh: refreshToken}},
	{name: "tokens of odd characters and 16 kB", body: `{"access_token":"a\n\"\u00fc` + strings.Repeat("x", 16<<10) + `","refresh_token":"\t"}`, want: outcome{access: "a\n\"ü" + strings.Repeat("x", 16<<10), refresh: "\t"}},

	{name: "token_type missing", body: `{"access_token":"at","refresh_token":"rt"}`, want: granted(0)},
	{name: "token_type null", body: `{"access_token":"at","refresh_token":"rt","token_type":null}`, want: granted(0)},
	{name: "token_type in odd case", body: `{"access_token":"at","refresh_token":"rt","token_type":"bEARER"}`, want: granted(0)},
	// A new connection can be refused. At a refresh the answer is never lost.
	{name: "token_type MAC", body: `{"access_token":"at","refresh_token":"rt","token_type":"MAC"}`, want: outcome{access: "at", refresh: "rt", tokenType: "MAC"}, exchange: &ambiguous},

	{name: "access token missing", body: `{"refresh_token":"rt","expires_in":3600}`, want: ambiguous},
	{name: "access token null", body: `{"access_token":null}`, want: ambiguous},
	{name: "access token a number", body: `{"access_token":12}`, want: ambiguous},
	{name: "access token empty", body: `{"access_token":""}`, want: ambiguous},
	{name: "access token an object", body: `{"access_token":{"token":"at"}}`, want: ambiguous},
	{name: "HTML with 200", contentType: "text/html", body: "<!doctype html><a href=\"?a=b\">" + canary, want: ambiguous},
	{name: "empty with 200", body: "", want: ambiguous},
	{name: "204", status: 204, body: "", want: ambiguous},
	{name: "202 without tokens", status: 202, body: `{}`, want: ambiguous},
	{name: "torn JSON", body: with(``)[:40], want: ambiguous},
	{name: "a JSON list", body: `[` + with(``) + `]`, want: ambiguous},
	{name: "a JSON string", body: `"access_token=at"`, want: ambiguous},
	{name: "trailing data", body: with(``) + `{"access_token":"other"}`, want: ambiguous},
	{name: "trailing comma", body: `{"access_token":"at",}`, want: ambiguous},
	{name: "form that is none", body: "access_token=%zz", want: ambiguous},
	{name: "text", contentType: "text/plain", body: "try again, " + canary, want: ambiguous},
	{name: "bytes of a compressed answer", body: "\x1f\x8b\x08\x00\x00=\x00", want: ambiguous},
	{name: "nested too deep", body: strings.Repeat(`{"a":`, 5000), want: ambiguous},
	{name: "lists nested too deep", body: `{"access_token":"at","x":` + strings.Repeat(`[`, 17) + strings.Repeat(`]`, 17) + `}`, want: ambiguous},
	{name: "10 MB", body: with(`,"x":"` + strings.Repeat("x", 10<<20) + `"`), want: ambiguous},
	{name: "64 KiB", body: with("") + strings.Repeat(" ", 64<<10-len(with(""))), want: granted(0)},
	{name: "64 KiB and a byte", body: with("") + strings.Repeat(" ", 64<<10+1-len(with(""))), want: ambiguous},
	{name: "the access token twice", body: `{"access_token":"at","access_token":"other"}`, want: ambiguous},
	{name: "two access tokens in a form", body: "access_token=at&access_token=other&refresh_token=rt", want: ambiguous},
	{name: "two refresh tokens", body: `{"access_token":"at","refresh_token":"rt","refresh_token":"other"}`, want: ambiguous},
	{name: "two refresh tokens in a form", body: "access_token=at&refresh_token=rt&refresh_token=other", want: ambiguous},
	{name: "two values of what is beside the tokens", body: with(`,"x":1,"x":2,"expires_in":3600,"expires_in":60,"scope":"a","scope":"b","token_type":"MAC"`), want: granted(0)},
	{name: "two values of what is beside the tokens in a form", body: "access_token=at&refresh_token=rt&x=1&x=2&expires_in=1&expires_in=2", want: granted(0)},
	{name: "two errors", body: with(`,"error":"invalid_grant","error":"other"`), want: refused(unrecognized, Retry)},
	{name: "two errors in a form", body: "access_token=at&error=invalid_grant&error=other", want: refused(unrecognized, Retry)},
	{name: "three times, the last like the first", body: `{"access_token":"at","access_token":"other","access_token":"at"}`, want: ambiguous},
	{name: "the access token twice and the same in a form", body: "access_token=at&refresh_token=rt&access_token=at", want: granted(0)},
	{name: "a refresh token of digits", body: `{"access_token":"at","refresh_token":12345678901234567890}`, want: outcome{access: "at", refresh: "12345678901234567890"}},
	{name: "the access token twice and the same", body: `{"access_token":"at","refresh_token":"rt","access_token":"at"}`, want: granted(0)},

	{name: "error with 200, GitHub style", body: `{"error":"bad_verification_code","error_description":"The code passed is incorrect or expired."}`, want: refused(unrecognized, Retry)},
	{name: "error with 200 beside a token", body: with(`,"error":"invalid_grant"`), want: refused("invalid_grant", Reauthorize)},
	{name: "error with 200 as an object", body: `{"error":{"code":"invalid_client","message":"m"}}`, want: refused("invalid_client", Reconfigure)},
	{name: "error with 200 as true", body: `{"error":true}`, want: refused(unrecognized, Retry)},
	{name: "error null beside a token", body: with(`,"error":null`), want: granted(0)},
	{name: "error empty beside a token", body: with(`,"error":""`), want: granted(0)},
	{name: "error false beside a token", body: with(`,"error":false`), want: granted(0)},
	{name: "error 0 beside a token", body: with(`,"error":0`), want: granted(0)},
	{name: `error "0" beside a token`, body: with(`,"error":"0"`), want: granted(0)},
	{name: "error {} beside a token", body: with(`,"error":{}`), want: granted(0)},
	{name: "error [] beside a token", body: with(`,"error":[]`), want: granted(0)},
	{name: "error 1 beside a token", body: with(`,"error":1`), want: refused(unrecognized, Retry)},
	{name: "error as a list", body: with(`,"error":["invalid_grant"]`), want: refused(unrecognized, Retry)},
	{name: "error as an object of its own", body: with(`,"error":{"message":"m"}`), want: refused(unrecognized, Retry)},
	{name: "error in a form", body: "error=invalid_grant&error_description=gone", want: refused("invalid_grant", Reauthorize)},
	{name: "code and type beside a token are no error", body: with(`,"code":"x","type":"y"`), want: granted(0)},
	{name: "WHCC's error with 200", provider: "whcc", body: `{"ErrorNumber":"403.02","Message":"Incorrect key ` + canary + `"}`, want: refused("invalid_client", Reconfigure)},
	{name: "WHCC's error with 200 as a number", provider: "whcc", body: `{"ErrorNumber":403.05,"Message":"m"}`, want: refused("unsupported_grant_type", Reconfigure)},
	{name: "WHCC's error 0 beside a token", provider: "whcc", body: with(`,"ErrorNumber":"0","Message":""`), want: outcome{access: "at", refresh: "rt", life: hour}},
	{name: "WHCC's error twice", provider: "whcc", body: with(`,"ErrorNumber":"403.01","ErrorNumber":"403.02"`), want: refused(unrecognized, Retry)},
	{name: "WHCC's error that nobody knows", provider: "whcc", body: `{"ErrorNumber":"412.07","Message":"m"}`, want: refused(unrecognized, Retry)},

	{name: "301", status: 301, body: with(``), want: refused("", Reconfigure)},
	{name: "302", status: 302, body: with(``), want: refused("", Reconfigure)},
	{name: "303", status: 303, body: with(``), want: refused("", Reconfigure)},
	{name: "304", status: 304, want: refused("", Reconfigure)},
	{name: "307", status: 307, body: with(``), want: refused("", Reconfigure)},
	{name: "308 with an error", status: 308, body: `{"error":"invalid_grant"}`, want: refused("invalid_grant", Reconfigure)},

	{name: "400 invalid_grant", status: 400, body: `{"error":"invalid_grant","error_description":"` + canary + `"}`, want: refused("invalid_grant", Reauthorize)},
	{name: "400 invalid_request", status: 400, body: `{"error":"invalid_request"}`, want: refused("invalid_request", Reconfigure)},
	{name: "400 invalid_scope", status: 400, body: `{"error":"invalid_scope"}`, want: refused("invalid_scope", Reconfigure)},
	{name: "400 unauthorized_client", status: 400, body: `{"error":"unauthorized_client"}`, want: refused("unauthorized_client", Reconfigure)},
	{name: "400 unsupported_grant_type", status: 400, body: `{"error":"unsupported_grant_type"}`, want: refused("unsupported_grant_type", Reconfigure)},
	{name: "400 with a code of its own", status: 400, body: `{"error":"` + canary + `"}`, want: refused(unrecognized, Retry)},
	{name: "400 that echoes all secrets", status: 400, body: `{"error":"invalid_client","error_description":"` + clientSecret + code + refreshToken + `"}`, want: refused("invalid_client", Reconfigure)},
	{name: "400 HTML", status: 400, contentType: "text/html", body: "<html>invalid_grant " + canary, want: refused("", Retry)},
	{name: "400 empty", status: 400, want: refused("", Retry)},
	{name: "400 with tokens", status: 400, body: with(``), want: refused("", Retry)},
	{name: "400 of 10 MB", status: 400, body: `{"error":"invalid_grant","x":"` + strings.Repeat("x", 10<<20) + `"}`, want: refused("", Retry)},
	{name: "401 invalid_client", status: 401, body: `{"error":"invalid_client"}`, want: refused("invalid_client", Reconfigure)},
	{name: "401 without a code", status: 401, body: `{"message":"no"}`, want: refused("", Retry)},
	{name: "401 of Whisk's own code", provider: "whisk", status: 401, body: `{"code":"auth.tokenNotFound","message":"m"}`, want: refused("invalid_grant", Reauthorize)},
	{name: "401 of Whisk's doubtful code", provider: "whisk", status: 401, body: `{"code":"oauth.unauthorized"}`, want: refused("invalid_client", Reconfigure)},
	{name: "400 of a Whisk code that says nothing of the grant", provider: "whisk", status: 400, body: `{"code":"general.badRequest"}`, want: refused(unrecognized, Retry)},
	{name: "400 of Whatnot's list of messages", provider: "whatnot", status: 400, body: `{"errors":[{"message":"` + canary + `"}]}`, want: refused("", Retry)},
	{name: "200 of Whatnot's list of messages", provider: "whatnot", body: `{"errors":[{"message":"m"}]}`, want: ambiguous},
	{name: "401 of Whatnot's problem", provider: "whatnot", status: 401, contentType: "application/problem+json", body: `{"type":"unauthorized","title":"Unauthorized","status":401}`, want: refused(unrecognized, Retry)},
	{name: "403 of a firewall", status: 403, contentType: "text/html", body: "<html>Access denied. Ray ID: 8", want: refused("", Retry)},
	{name: "404", status: 404, body: "not found", want: refused("", Retry)},

	{name: "408", status: 408, body: `{"error":"invalid_grant"}`, want: refused("", Retry)},
	{name: "429", status: 429, body: `{"error":"invalid_grant"}`, want: refused("", Retry)},
	{name: "429 with seconds", status: 429, retryAfter: "120", want: outcome{retryAfter: 2 * time.Minute}},
	{name: "429 with a date", status: 429, retryAfter: "Mon, 23 Nov 2026 12:01:00 GMT", want: outcome{retryAfter: time.Minute}},
	{name: "429 with a date that is over", status: 429, retryAfter: "Mon, 23 Nov 2026 11:59:00 GMT", want: refused("", Retry)},
	{name: "429 with an absurd time", status: 429, retryAfter: "99999999999999999999", want: outcome{retryAfter: 24 * hour}},
	{name: "429 with an absurd date", status: 429, retryAfter: "Fri, 31 Dec 9999 23:59:59 GMT", want: outcome{retryAfter: 24 * hour}},
	{name: "429 with garbage", status: 429, retryAfter: "soon", want: refused("", Retry)},
	{name: "500", status: 500, body: "<html>", want: ambiguous},
	{name: "500 that claims invalid_grant", status: 500, body: `{"error":"invalid_grant"}`, want: ambiguous},
	{name: "502 that claims invalid_grant", status: 502, body: `{"error":"invalid_grant"}`, want: ambiguous},
	{name: "503 that claims invalid_grant", status: 503, retryAfter: "30", body: `{"error":"invalid_grant"}`, want: outcome{unknown: true, retryAfter: 30 * time.Second}},
	{name: "504 that claims invalid_client", status: 504, body: `error=invalid_client`, want: ambiguous},
	{name: "500 with tokens", status: 500, body: with(``), want: ambiguous},
	{name: "599", status: 599, body: `{"error":"invalid_grant"}`, want: ambiguous},
}

// What a token endpoint answers decides what becomes of a connection.
func TestAnswers(t *testing.T) {
	for _, op := range tokenRequests {
		for _, tt := range answerCases {
			t.Run(op.name+"/"+tt.name, func(t *testing.T) {
				want := tt.want
				if op.name == "exchange" && tt.exchange != nil {
					want = *tt.exchange
				}
				testAnswer(t, op, tt, want)
			})
		}
	}
}

func testAnswer(t *testing.T, op operation, tt answerCase, want outcome) {
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) {})
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", cmp.Or(tt.contentType, "application/json"))
		w.Header().Set("Location", elsewhere.URL)
		if tt.retryAfter != "" {
			w.Header().Set("Retry-After", tt.retryAfter)
		}
		w.WriteHeader(max(tt.status, 200))
		_, _ = w.Write([]byte(tt.body))
	})
	p := definition(t, tt.provider)
	if p.ID == "whcc" {
		p.Answer.AccessToken = "" // its errors are what counts here
	}
	tokens, err := op.call(t.Context(), newTokenClient(), newClient(t, p, s.URL, nil))

	s.wantOne(t)
	if n := elsewhere.conns.Load(); n != 0 {
		t.Errorf("a redirect was followed: %d connections", n)
	}
	if want.access != "" {
		checkTokens(t, tokens, err, want)
		return
	}
	e := wire(t, err)
	if e.Status != max(tt.status, 200) || e.NotSent {
		t.Errorf("status = %d, not sent = %v", e.Status, e.NotSent)
	}
	if e.Code != want.code || RemedyFor(err) != want.remedy || Unknown(err) != want.unknown || e.RetryAfter != want.retryAfter {
		t.Errorf("code %q, remedy %d, unknown %v, retry after %v; want %q, %d, %v, %v (%v)",
			e.Code, RemedyFor(err), Unknown(err), e.RetryAfter, want.code, want.remedy, want.unknown, want.retryAfter, err)
	}
	if tokens.AccessToken != "" || tokens.RefreshToken != "" {
		t.Error("an error came with tokens")
	}
}

// An operator who cannot see the answer learns what was wrong with it.
func TestErrorsSayWhatWasWrongWithTheAnswer(t *testing.T) {
	for body, want := range map[string]string{
		"<html>" + canary:                  "the answer is HTML",
		" \r\n":                            "the answer is empty",
		canary[:6]:                         "the answer is neither JSON nor a form",
		`{"access_token":"` + canary:       "the JSON is torn or malformed",
		`{"access_token":"at"} ` + canary:  "something follows the JSON object",
		`{"x":` + strings.Repeat("[", 99):  "the JSON is nested too deep",
		`{"token":"` + canary + `"}`:       "the answer has no access token",
		strings.Repeat(canary, 64<<10/13):  "the answer is larger than 64 KiB",
		with(`,"refresh_token":"another"`): "the answer has two refresh tokens",
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
		_, err := refresh(t.Context(), newTokenClient(), newClient(t, plain, s.URL, nil))
		if mustBeDiscreet(t, err); err.Error() != want+" (HTTP 200)" {
			t.Errorf("%.40q: %v, want %s", body, err, want)
		}
	}
}

func checkTokens(t *testing.T, got TokenSet, err error, want outcome) {
	t.Helper()
	if err != nil {
		t.Fatalf("error = %v, want tokens", err)
	}
	if got.AccessToken.Reveal() != want.access || got.RefreshToken.Reveal() != want.refresh {
		t.Errorf("tokens = %.40q, %.40q", got.AccessToken.Reveal(), got.RefreshToken.Reveal())
	}
	if got.TokenType != cmp.Or(want.tokenType, "Bearer") {
		t.Errorf("token type = %q", got.TokenType)
	}
	ends := func(life time.Duration) time.Time {
		if life == 0 {
			return time.Time{}
		}
		return noon.Add(life)
	}
	if !got.IssuedAt.Equal(noon) || !got.ExpiresAt.Equal(ends(want.life)) || !got.RefreshExpiresAt.Equal(ends(want.refreshLife)) {
		t.Errorf("issued %v, expires %v, refresh token %v; want lives of %v and %v", got.IssuedAt, got.ExpiresAt, got.RefreshExpiresAt, want.life, want.refreshLife)
	}
	if !slices.Equal(got.Scopes, want.scopes) || (got.Scopes == nil) != (want.scopes == nil) {
		t.Errorf("scopes = %#v, want %#v", got.Scopes, want.scopes)
	}
}
