package simulator

import (
	"net/http"
	"time"
)

// whisk is the Whisk platform, today Samsung Food.
//
// Reference: https://docs.whisk.com/api-overview/auth/user-access-token (read
// 2026-11-23) and the errors page beside it. Open there, and assumed: that the
// refresh token rotates, and which of the documented error codes the token
// endpoint answers. The list of scopes could not be read; these are the names
// in use.
func whisk() *provider {
	return &provider{
		id: "whisk", name: "Whisk",
		paths: map[string]string{
			authorizationURL: "/whisk/oauth/v2/authorize",
			tokenURL:         "/whisk/oauth/v2/token",
			userinfoURL:      "/whisk/user/v2/me",
		},
		routes: func(s *Simulator, p *provider) { s.oauthRoutes(p) },
		scopes: map[string]string{
			"offline_access":         "Keep access while you are away",
			"cookbook:write":         "See and change your recipes",
			"community.read":         "See your communities",
			"shopping_list:write":    "See and change your shopping lists",
			"user.preferences:write": "Change your preferences",
			"user.profile:read":      "See your profile",
		},
		scopeComma:     true,
		offlineScope:   "offline_access",
		implicitLife:   24 * time.Hour,
		codeLife:       24 * time.Hour,
		accessLife:     30 * 24 * time.Hour,
		refreshLife:    365 * 24 * time.Hour,
		newAccess:      func() string { return randomText(64) },
		newRefresh:     func() string { return randomText(64) },
		looseRedirect:  true,
		multipart:      true,
		refreshEndsOld: true,
		authenticate:   bodySecret,
		refuse:         whiskError,
		answer:         whiskAnswer,
		account: func(username string) map[string]any {
			return map[string]any{"user": map[string]any{"id": AccountID("whisk", username), "email": email(username), "phone": nil}}
		},
		refuseBearer: func(f Refusal) reply {
			code := "auth.tokenInvalid"
			switch f.Reason {
			case reasonNoToken:
				code = "auth.tokenRequired"
			case reasonExpired:
				code = "auth.tokenExpired"
			}
			return reply{status: http.StatusUnauthorized, body: map[string]any{"code": code, "message": f.Reason}, refusal: f}
		},
	}
}

// whiskAnswer is the documented answer: scope is an array, and names what may
// be accessed. The example has a refresh token but no offline_access in it.
func whiskAnswer(t issued) map[string]any {
	body := oauthAnswer(t)
	access := []string{}
	for _, scope := range t.scopes {
		if scope != "offline_access" {
			access = append(access, scope)
		}
	}
	body["scope"], body["token_type"] = access, "Bearer"
	return body
}

// whiskError is Whisk's error answer: a code of its own and a message.
func whiskError(rq request, f Refusal) reply {
	rep := reply{
		status:  http.StatusBadRequest,
		body:    map[string]any{"code": "general.badRequest", "message": f.Reason},
		refusal: f,
	}
	switch {
	case f.Code == "invalid_client":
		rep.status, rep.body["code"] = http.StatusUnauthorized, "oauth.unauthorized"
	case f.Code == "invalid_grant" && rq.params.Get("grant_type") == "refresh_token":
		rep.status, rep.body["code"] = http.StatusUnauthorized, "auth.tokenNotFound"
	case f.Code == "invalid_grant":
		rep.body["code"] = "general.notFound"
	}
	return rep
}
