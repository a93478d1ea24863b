package providers

// whisk is the Whisk platform, today Samsung Food.
//
// A refresh deletes the old access token at once. Whether it also replaces the
// refresh token is not said. Errors of the token endpoint are not documented;
// those of the API come as code and message. What oauth.unauthorized refuses,
// the grant or the client, is not said either: it is taken as the client, since
// no doubt may cost a user the connection.
var whisk = Provider{
	ID: "whisk", Name: "Whisk",
	Docs: "https://docs.whisk.com/api-overview/auth/user-access-token", Read: "2026-11-23",
	Environments: []Environment{{Name: "production", BaseURL: "https://login.whisk.com"}},
	Endpoints:    Endpoints{AuthorizationURL: "/oauth/v2/authorize", TokenURL: "/oauth/v2/token", UserInfoURL: "https://api.whisk.com/user/v2/me"},
	AddedScopes:  []string{"offline_access"}, // without it there is no refresh token
	PKCE:         PKCEOff,                    // not documented
	Implicit:     true,
	Fields:       []Field{{Name: "identity_provider", Pattern: `[A-Za-z0-9_.-]{1,64}`, Param: "identity_provider"}}, // skips to Google, Facebook, …
	ErrorCodes:   map[string]string{"auth.tokenNotFound": "invalid_grant", "oauth.unauthorized": "invalid_client"},
	// Tokens live 30 days by the page, 24 hours elsewhere: the answer decides.
	RefreshTokenLife: 365 * day, RefreshTokenIdle: 365 * day,
	AccountID: "user.id", AccountLabel: "user.email",
}
