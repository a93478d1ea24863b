package simulator

import (
	"net/http"
	"slices"
	"time"
)

// whiplash is Whiplash API v2, today Ryder E-commerce: Doorkeeper, with the
// stricter of its two rotations.
//
// Reference: https://help.whiplash.com/hc/en-us/articles/360050870691 (read
// 2026-11-23) and, for what that page leaves open, Doorkeeper's source: the
// ten minutes of a code, the error shapes, the revocation endpoint, and that a
// refresh ends the old access token, since both are one record there.
func whiplash() *provider {
	return &provider{
		id: "whiplash", name: "Whiplash",
		paths: map[string]string{
			authorizationURL: "/whiplash/oauth/authorize",
			tokenURL:         "/whiplash/oauth/token",
			revocationURL:    "/whiplash/oauth/revoke",
			userinfoURL:      "/whiplash/api/v2/me",
		},
		routes: func(s *Simulator, p *provider) {
			s.oauthRoutes(p)
			s.handle(http.MethodPost, p, revocationURL, s.revokeToken(p))
		},
		scopes: map[string]string{
			"user_read":   "See orders, items and shipments",
			"user_manage": "See and change orders, items and shipments",
		},
		pkce:           true,
		codeLife:       10 * time.Minute,
		accessLife:     2 * time.Hour,
		newAccess:      func() string { return randomHex(32) },
		newRefresh:     func() string { return randomHex(32) },
		refreshEndsOld: true,
		authenticate:   bodySecret,
		refuse:         oauthError,
		answer: func(t issued) map[string]any {
			body := oauthAnswer(t)
			body["created_at"] = t.at.Unix()
			return body
		},
		account: whiplashAccount,
		// The page names the headers; the limit is ten requests a second.
		accountRateLimit: http.Header{"X-Ratelimit-Limit": {"10"}, "X-Ratelimit-Remaining": {"9"}},
		refuseBearer: func(f Refusal) reply {
			return reply{
				status: http.StatusUnauthorized,
				header: http.Header{"Www-Authenticate": {`Bearer realm="simulator", error="` + f.Code + `"`}},
				body:   map[string]any{"message": f.Reason}, refusal: f,
			}
		},
	}
}

func whiplashAccount(username string) map[string]any {
	return map[string]any{
		"id":    accountNumber("whiplash", username),
		"email": email(username), "first_name": username, "last_name": "Simulated",
		"role": "user", "locale": "en", "partner_id": nil, "warehouse_id": nil,
		"customer_ids": []int64{accountNumber("whiplash customer", username)},
	}
}

// revokeToken is Doorkeeper's revocation endpoint (RFC 7009): an access token
// or refresh token takes its whole grant with it, and a token that is not known
// is no error.
func (s *Simulator) revokeToken(p *provider) endpoint {
	return func(rq request) reply {
		value := rq.params.Get("token")
		switch {
		case rq.problem != "":
			return oauthError(rq, Refusal{Code: "invalid_request", Reason: rq.problem})
		case bodySecret(rq, p.client) != nil:
			rep := oauthError(rq, Refusal{Code: "unauthorized_client", Reason: "the client may not revoke this token"})
			rep.status = http.StatusForbidden
			return rep
		case value == "":
			return oauthError(rq, Refusal{Code: "invalid_request", Reason: "token is missing"})
		}
		if g := s.index[value]; g != nil && g.Provider == p.id && !slices.Contains(g.Spent, value) {
			s.end(g)
		}
		return reply{status: http.StatusOK, body: map[string]any{}}
	}
}
