package simulator

import (
	"net/http"
	"time"
)

// whatnot is the Whatnot Seller API, staging.
//
// Reference: https://developers.whatnot.com/docs/getting-started/authentication
// (read 2026-11-23). Its code blocks are missing: paths, client authentication
// and the names in answers are those of published clients. Open, and assumed:
// an hour for access tokens, ten minutes for codes, RFC 6749's error shape, and
// that a used refresh token that comes again ends the grant (RFC 9700 section
// 4.14.2), the strictest a client may meet.
func whatnot() *provider {
	return &provider{
		id: "whatnot", name: "Whatnot",
		paths: map[string]string{
			authorizationURL: "/whatnot/seller-api/rest/oauth/authorize",
			tokenURL:         "/whatnot/seller-api/rest/oauth/token",
			revocationURL:    "/whatnot/seller-api/rest/v2/users/disconnect",
			userinfoURL:      "/whatnot/seller-api/rest/v2/users/me",
		},
		routes: func(s *Simulator, p *provider) {
			s.oauthRoutes(p)
			s.handle(http.MethodPost, p, revocationURL, s.disconnect(p))
		},
		scopes: map[string]string{ // not full_access, which OAuth never gives
			"read:inventory":  "See products, variants and listings",
			"write:inventory": "Create, change and delete products, variants and listings",
			"read:orders":     "See orders",
			"write:orders":    "Write to orders, such as tracking numbers",
			"read:customers":  "See the address, email and phone number of an order",
		},
		codeLife:       10 * time.Minute,
		accessLife:     time.Hour,
		refreshLife:    365 * 24 * time.Hour,
		newAccess:      func() string { return "wn_access_tk_test_" + randomText(40) },
		newRefresh:     func() string { return "wn_refresh_tk_test_" + randomText(40) },
		reuseEndsGrant: true,
		authenticate:   bearerSecret,
		refuse:         oauthError,
		answer:         oauthAnswer,
		account: func(username string) map[string]any {
			return map[string]any{"id": AccountID("whatnot", username), "username": username}
		},
		refuseBearer: whatnotProblem,
	}
}

// bearerSecret checks client authentication by the client secret as a bearer
// token, with client_id and client_secret in the body as well.
func bearerSecret(rq request, c Client) *Refusal {
	switch {
	case rq.bearer() != c.Secret:
		return &Refusal{Code: "invalid_client", Reason: "the Authorization header must be Bearer and the client secret"}
	case rq.params.Get("client_id") != c.ID || rq.params.Get("client_secret") != c.Secret:
		return &Refusal{Code: "invalid_client", Reason: "unknown client or wrong client secret in the body"}
	}
	return nil
}

// disconnect ends all that the account of the access token gave to this client.
func (s *Simulator) disconnect(p *provider) endpoint {
	return func(rq request) reply {
		g, refused := s.authorized(p, rq)
		if refused != nil {
			return whatnotProblem(*refused)
		}
		s.endAccount(p.id, AccountID(p.id, g.Username))
		return reply{status: http.StatusNoContent}
	}
}

// whatnotProblem is the error answer of API v2 (RFC 9457).
func whatnotProblem(f Refusal) reply {
	return reply{
		status:  http.StatusUnauthorized,
		header:  http.Header{"Content-Type": {"application/problem+json"}},
		body:    map[string]any{"type": "unauthorized", "title": "Unauthorized", "status": http.StatusUnauthorized, "detail": f.Reason},
		refusal: f,
	}
}
