package providers

// whatnot is the Whatnot Seller API. The page's code blocks are missing;
// published clients authenticate with the secret as a bearer token and send it
// in the body as well.
var whatnot = Provider{
	ID: "whatnot", Name: "Whatnot",
	Docs: "https://developers.whatnot.com/docs/getting-started/authentication", Read: "2026-11-23",
	Environments: []Environment{
		{Name: "production", BaseURL: "https://api.whatnot.com/seller-api/rest", TokenPrefix: "wn_access_tk_"},
		{Name: "staging", BaseURL: "https://api.stage.whatnot.com/seller-api/rest", TokenPrefix: "wn_access_tk_test_"},
	},
	Endpoints:     Endpoints{AuthorizationURL: "/oauth/authorize", TokenURL: "/oauth/token", RevocationURL: "/v2/users/disconnect", UserInfoURL: "/v2/users/me"},
	KnownScopes:   []string{"read:inventory", "write:inventory", "read:orders", "write:orders", "read:customers"},
	RefusedScopes: map[string]string{"full_access": "Whatnot grants it to a token of one's own account only, never by OAuth"},
	PKCE:          PKCEOff, // not documented; published clients send none
	ClientAuth:    ClientSecretBearer,
	// The page: "Refresh tokens expire in 1 year", subject to change.
	RefreshTokenLife: 365 * day,
	AccountID:        "id", AccountLabel: "username",
	Revocation: RevokeWithAccount,
}
