package simulator

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // WHCC's dates are Chicago's, also where the machine knows no zones
)

// sessionLife is how long a WHCC login may take. No page says it.
const sessionLife = 10 * time.Minute

// A session is a WHCC login that was prepared.
type session struct {
	callback  string // with its query
	expiresAt time.Time
}

// whcc is WHCC's Order Submit API: the OAuth login flow, which is no OAuth 2.0,
// and the consumer credentials.
//
// Reference: https://developer.whcc.com/pages/order-submit-api/oauth/ (read
// 2026-11-23); for /api/AccessToken a recorded exchange, in which errors come
// with status 200. Open, and assumed: the life of a session, and that whData's
// token is a bearer token without end.
func whcc() *provider {
	return &provider{
		id: "whcc", name: "WHCC",
		paths: map[string]string{
			prepareURL: "/whcc/oauth",
			tokenURL:   "/whcc/api/AccessToken",
		},
		routes: func(s *Simulator, p *provider) {
			s.handle(http.MethodGet, p, prepareURL, s.prepare(p))
			s.handle(http.MethodGet, p, tokenURL, s.consumerToken(p))
			s.mux.HandleFunc("GET "+whccLogin, s.whccLogin(p))
			s.mux.HandleFunc("POST "+whccLogin, s.whccLogin(p))
		},
		accessLife: time.Hour,
		newAccess:  func() string { return fmt.Sprintf("%012d", randomBelow(1_000_000_000_000)) },
	}
}

const whccLogin = "/whcc/Login.aspx"

// whccError is WHCC's error answer. Its status is 200.
func whccError(number, message string) reply {
	return reply{
		status:  http.StatusOK,
		body:    map[string]any{"ErrorNumber": number, "Message": message},
		refusal: Refusal{Code: number, Reason: message},
	}
}

// consumer checks the consumer key and secret. It returns the error number and
// message of a request that is refused.
func consumer(rq request, c Client) (number, message string) {
	switch {
	case rq.problem != "":
		return "400.01", rq.problem
	case rq.missing("consumer_key", "consumer_secret") != "":
		return "403.02", "Incorrect consumer key or consumer secret"
	case rq.params.Get("consumer_key") != c.ID:
		return "403.03", "Incorrect consumer key"
	case rq.params.Get("consumer_secret") != c.Secret:
		return "403.04", "Incorrect consumer secret"
	}
	return "", ""
}

// prepare begins a login: the call before the redirect.
func (s *Simulator) prepare(p *provider) endpoint {
	return func(rq request) reply {
		if number, message := consumer(rq, p.client); number != "" {
			return whccError(number, message)
		}
		callback := rq.params.Get("callback_url")
		base, _, _ := strings.Cut(callback, "?")
		switch {
		case rq.params.Get("response_type") != "request_url":
			return whccError("400.01", "The response type must be request_url")
		case !s.registered(base) || strings.Contains(callback, "#"):
			return whccError("400.01", "The callback URL is not registered")
		}
		now := s.config.Now()
		maps.DeleteFunc(s.sessions, func(_ string, old session) bool { return !now.Before(old.expiresAt) })
		id := randomHex(16)
		s.sessions[id] = session{callback: callback, expiresAt: now.Add(sessionLife)}
		login := url.URL{Scheme: "http", Host: rq.Host, Path: whccLogin}
		if rq.TLS != nil {
			login.Scheme = "https"
		}
		return reply{status: http.StatusOK, body: map[string]any{
			"LoginURL": login.String(), "SessionID": id, "RedirectURI": login.String() + "?" + id,
		}}
	}
}

// consumerToken is the consumer-credentials grant: a token for the client's own
// account. The docs send the parameters as the body of a GET; the recordings
// have them in the query.
func (s *Simulator) consumerToken(p *provider) endpoint {
	return func(rq request) reply {
		if number, message := consumer(rq, p.client); number != "" {
			return whccError(number, message)
		}
		if rq.params.Get("grant_type") != "consumer_credentials" {
			return whccError("403.05", "Incorrect grant_type")
		}
		i := slices.IndexFunc(s.grants, func(g *Grant) bool { return g.Provider == p.id && g.Username == "" })
		if i < 0 {
			i = len(s.grants)
			s.add(&Grant{Provider: p.id})
		}
		now := s.config.Now()
		t := s.newToken(p.newAccess(), p.accessLife)
		s.grantAccess(s.grants[i], t, func(old Token) bool { return old.live(now) })
		s.save()
		return reply{status: http.StatusOK, body: map[string]any{
			"ClientId": AccountID(p.id, ""), "ConsumerKey": p.client.ID, "Token": t.Value,
			"EffectiveDate": whccDate(now), "ExpirationDate": whccDate(t.ExpiresAt),
		}}
	}
}

// whccDate writes a time as WHCC does: Chicago's local time, which wears the
// label CST in summer too.
func whccDate(t time.Time) string {
	chicago, err := time.LoadLocation("America/Chicago")
	if err != nil {
		panic(err) // embedded by time/tzdata
	}
	return t.In(chicago).Format("1/2/2006 3:04:05 PM") + " CST"
}

// whccLogin is the login page of a prepared session. Logging in is the user's
// consent: there is no further page. A session is good for one outcome.
func (s *Simulator) whccLogin(p *provider) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, action := r.URL.RawQuery, r.PostFormValue("action")
		message := ""
		if action == "login" {
			message = loginError(r)
		}
		decided := (action == "login" && message == "") || action == "deny"
		s.mu.Lock()
		login, ok := s.sessions[id]
		ok = ok && s.config.Now().Before(login.expiresAt)
		query := ""
		if ok && decided {
			delete(s.sessions, id)
			query = s.whccOutcome(p, login, action, strings.TrimSpace(r.PostFormValue("username")))
		}
		s.mu.Unlock()
		switch {
		case !ok:
			show(w, http.StatusBadRequest, page{Provider: p, View: "error", Message: "This login has been used, has expired or never was."})
		case query != "":
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, withQuery(login.callback, query), http.StatusFound)
		case message != "":
			show(w, http.StatusUnprocessableEntity, page{Provider: p, View: "login", Cancel: true, Message: message})
		default:
			show(w, http.StatusOK, page{Provider: p, View: "login", Cancel: true})
		}
	}
}

// whccOutcome carries out the user's decision and returns what is added to the
// callback URL. It needs s.mu.
func (s *Simulator) whccOutcome(p *provider, login session, action, username string) string {
	if action == "deny" {
		s.ledgers[p.id].Denied++
		return "error=access_denied&error_reason=user_denied&error_description=The+user+denied+your+request"
	}
	s.ledgers[p.id].Approved++
	t := Token{Value: randomHex(16)}
	s.add(&Grant{Provider: p.id, Username: username, Access: []Token{t}})
	s.save()
	base, _, _ := strings.Cut(login.callback, "?")
	data, _ := json.Marshal(newWhData(username, base, t.Value)) // numbers and strings: never fails
	return "whData=" + strings.ReplaceAll(url.QueryEscape(string(data)), "+", "%20")
}

// whData is the credential and account that a login answers with, members in
// the documented order.
type whData struct {
	ClientID    int64  `json:"client_id"` // the account number
	CallbackURL string `json:"callback_url"`
	Token       string `json:"token"`
	Studio      string `json:"studio"`
	Attention   string `json:"attention"`
	Addr        string `json:"addr"`
	Addr2       string `json:"addr2"`
	Addr3       string `json:"addr3"`
	City        string `json:"city"`
	State       string `json:"state"` // of the USA
	Zip         string `json:"zip"`
	Country     string `json:"country"`
	Email       string `json:"email"`
	Phone       string `json:"phone"`
}

func newWhData(username, callback, token string) whData {
	return whData{
		ClientID: accountNumber("whcc", username), CallbackURL: callback, Token: token,
		Studio: username + " Studio", Attention: username, Addr: "1 Simulated Parkway",
		City: "Eagan", State: "MN", Zip: "55121", Country: "US", Email: email(username), Phone: "555-0100",
	}
}
