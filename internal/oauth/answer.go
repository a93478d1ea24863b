package oauth

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/pkg/providers"
)

// decodeTokens reads the tokens from a token answer (RFC 6749 section 5.1).
// A success is a 2xx with an access token and without an error. What stands
// beside the tokens may be odd: a good token is never thrown away for it.
func decodeTokens(c Client, a answer, now time.Time) (TokenSet, error) {
	if err := refusal(c, a, nil); err != nil {
		return TokenSet{}, err
	}
	d, err := parseAnswer(a.body)
	if err != nil {
		return TokenSet{}, &Error{Status: a.status, Reason: err.Error(), RetryAfter: a.retryAfter}
	}
	t, err := tokensFrom(c, d, now)
	if err != nil {
		return TokenSet{}, &Error{Status: a.status, Reason: err.Error(), RetryAfter: a.retryAfter}
	}
	t.Pause = a.exhausted
	return t, nil
}

// tokensFrom reads the tokens from a decoded answer.
func tokensFrom(c Client, d object, now time.Time) (TokenSet, error) {
	access, _ := d.at(cmp.Or(c.Provider.Answer.AccessToken, "access_token")).(string)
	if access == "" {
		return TokenSet{}, errors.New("the answer has no access token")
	}
	if d.at("refresh_token") == (conflict{}) {
		return TokenSet{}, errors.New("the answer has two refresh tokens")
	}
	refresh := d.text("refresh_token")
	t := TokenSet{
		AccessToken:  Secret(access),
		TokenType:    tokenType(d.at("token_type")),
		RefreshToken: Secret(refresh),
		IssuedAt:     now,
		ExpiresAt:    expiry(c.Provider, d, access, now),
		Scopes:       scopes(d.at("scope")),
	}
	if refresh != "" {
		t.RefreshExpiresAt = refreshExpiry(c.Provider, d, now)
	}
	return t, nil
}

// refusal returns the error that an answer stands for, nil for a success.
func refusal(c Client, a answer, err error) error {
	if err != nil {
		return err
	}
	e := &Error{Status: a.status, Reason: "the provider refused", RetryAfter: a.retryAfter}
	d, parseErr := parseAnswer(a.body)
	if parseErr == nil {
		e.Code = errorCode(c.Provider, d, a.status)
	}
	e.Foreign = parseErr != nil
	if a.status >= 200 && a.status < 300 && e.Code == "" {
		return nil
	}
	if a.status >= 500 || a.status == http.StatusTooManyRequests || a.status == http.StatusRequestTimeout {
		e.Code = "" // whatever the body says: the provider is not well, or busy
	}
	return e
}

// unrecognized is the code of an error that no standard and no definition names.
const unrecognized = "unrecognized_error"

// errorCode finds the error code of an answer: where the definition says, as
// error or in it, as code or as type. The last two are errors only in an answer
// that failed. A list called errors is not looked at: Whatnot's names no codes.
func errorCode(p providers.Provider, d object, status int) string {
	paths := []string{"error", "error.code", "error.type"}
	if p.Answer.ErrorCode != "" {
		paths = append([]string{p.Answer.ErrorCode}, paths...)
	}
	if status >= 300 {
		paths = append(paths, "code", "type")
	}
	for _, path := range paths {
		if code := d.text(path); code != "" && code != "0" {
			return cmp.Or(p.ErrorCodes[code], KnownCode(code), unrecognized)
		}
		if d.at(path) == (conflict{}) {
			return unrecognized
		}
	}
	if isError(d.at("error")) {
		return unrecognized
	}
	return ""
}

// isError reports whether v, a member called error, is more than one of the ways
// to say that there is none.
func isError(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case map[string]any:
		return len(v) > 0
	case []any:
		return len(v) > 0
	}
	return v != "" && v != "0" && v != json.Number("0")
}

// expiry returns when the access token ends, zero where nothing tells: by the
// answer, else by the token itself where it is a JWT, else by the definition.
// It is never past: a token is not dead on arrival, it is a clock that is wrong.
func expiry(p providers.Provider, d object, access string, now time.Time) time.Time {
	if life := seconds(d.at("expires_in")); life > 0 {
		return issuedAt(p, d, life, now).Add(life)
	}
	if life := datedLife(p, d); life > 0 {
		return now.Add(life)
	}
	if exp := jwtExpiry(access); exp.After(now) {
		return exp
	}
	if p.AccessTokenLife > 0 {
		return now.Add(p.AccessTokenLife)
	}
	return time.Time{}
}

// issuedAt returns when the provider made the token: by its own clock if that
// is close behind ours, measured by the token's life, else at receipt.
func issuedAt(p providers.Provider, d object, life time.Duration, now time.Time) time.Time {
	if p.Answer.IssuedAt == "" {
		return now
	}
	at := time.Unix(int64(seconds(d.at(p.Answer.IssuedAt))/time.Second), 0)
	if age := now.Sub(at); age < 0 || age > min(5*time.Minute, life/2) {
		return now
	}
	return at
}

// datedLife returns the time between the two dates of an answer. Their zone is
// not to be trusted, their difference is, but for the night in which the clock
// jumps an hour ahead: then the definition knows that it is too long.
func datedLife(p providers.Provider, d object) time.Duration {
	if p.Answer.Expires == "" {
		return 0
	}
	from, err1 := time.ParseInLocation(p.Answer.DateLayout, d.text(p.Answer.Effective), time.UTC)
	to, err2 := time.ParseInLocation(p.Answer.DateLayout, d.text(p.Answer.Expires), time.UTC)
	if err1 != nil || err2 != nil {
		return 0
	}
	life := to.Sub(from)
	if p.AccessTokenLife > 0 {
		life = min(life, p.AccessTokenLife)
	}
	return life
}

// jwtExpiry returns the exp claim of a token that is a JWT (RFC 7519 section
// 4.1.4), unverified: it only decides when to refresh.
func jwtExpiry(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	d, err := parseObject(payload)
	if err != nil {
		return time.Time{}
	}
	if exp := seconds(d.at("exp")); exp > 0 {
		return time.Unix(int64(exp/time.Second), 0)
	}
	return time.Time{}
}

// refreshExpiry returns when the refresh token ends: by the answer (two
// members that providers use), else by the definition.
func refreshExpiry(p providers.Provider, d object, now time.Time) time.Time {
	for _, path := range []string{"refresh_token_expires_in", "refresh_expires_in"} {
		if life := seconds(d.at(path)); life > 0 {
			return now.Add(life)
		}
	}
	if p.RefreshTokenLife > 0 {
		return now.Add(p.RefreshTokenLife)
	}
	return time.Time{}
}

// tokenType returns "Bearer" in the spelling of RFC 6750; types are compared
// without case (RFC 6749 section 5.1), and some answers name none.
func tokenType(v any) string {
	s, _ := v.(string) // a type that is no text names none
	if s == "" || strings.EqualFold(s, "Bearer") {
		return "Bearer"
	}
	return s
}

// scopes reads a scope member, a string with spaces or commas, or an array:
// each scope once, nil where there is none.
func scopes(v any) []string {
	var all []string
	switch v := v.(type) {
	case string:
		all = strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' })
	case []any:
		for _, e := range v {
			s, _ := e.(string)
			all = append(all, s)
		}
	}
	var out []string
	for _, s := range all {
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// parseAnswer reads an answer by its look, whatever its Content-Type says: a
// JSON object, else a form.
func parseAnswer(body []byte) (object, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, byteOrderMark))
	switch {
	case len(body) == 0:
		return nil, errors.New("the answer is empty")
	case body[0] == '{':
		return parseObject(body)
	case body[0] == '<':
		return nil, errors.New("the answer is HTML")
	case !bytes.ContainsRune(body, '='):
		return nil, errors.New("the answer is neither JSON nor a form")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errors.New("the answer is neither JSON nor a form")
	}
	d := make(object, len(form))
	for name, values := range form {
		d[name] = values[0]
		if len(slices.Compact(values)) > 1 {
			d[name] = conflict{}
		}
	}
	return d, nil
}
