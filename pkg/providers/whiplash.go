package providers

// whiplash is the Whiplash API v2, today Ryder E-commerce. Its software is
// Doorkeeper, whose metadata advertises S256 and client_secret_post alone.
//
// The page does not say whether a used refresh token keeps working until the
// new access token is used; a stricter guess loses nothing.
var whiplash = Provider{
	ID: "whiplash", Name: "Whiplash",
	Docs: "https://help.whiplash.com/hc/en-us/articles/360050870691", Read: "2026-11-23",
	Environments: []Environment{
		{Name: "production", BaseURL: "https://www.getwhiplash.com"}, // without www the redirect drops the POST
		{Name: "sandbox", BaseURL: "https://sandbox.whiplash.app"},
	},
	Endpoints:       Endpoints{AuthorizationURL: "/oauth/authorize", TokenURL: "/oauth/token", RevocationURL: "/oauth/revoke", UserInfoURL: "/api/v2/me"},
	KnownScopes:     []string{"user_read", "user_manage"},
	AccessTokenLife: 2 * hour,
	Answer:          Answer{IssuedAt: "created_at"},
	AccountID:       "id", AccountLabel: "email",
	RevokesOne: true, // Doorkeeper revokes the token that it is given
}
