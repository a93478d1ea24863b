package providers

// whcc is the WHCC Order Submit API: no OAuth 2.0, but a login that answers
// with the credential itself. What renews that credential stands in papers for
// approved partners only, so it has no expiry and no refresh here. The
// consumer credentials live an hour and are asked for again.
//
// whData's member state is a US state, and client_id is the account number.
var whcc = Provider{
	ID: "whcc", Name: "WHCC",
	Docs: "https://developer.whcc.com/pages/order-submit-api/oauth/", Read: "2026-11-23",
	Environments: []Environment{
		{Name: "production", BaseURL: "https://login.whcc.com", Endpoints: Endpoints{TokenURL: "https://apps.whcc.com/api/AccessToken"}},
		{Name: "sandbox", BaseURL: "https://sandbox.login.whcc.com", Endpoints: Endpoints{TokenURL: "https://sandbox.apps.whcc.com/api/AccessToken"}},
	},
	Endpoints: Endpoints{PrepareURL: "/oauth"},
	PKCE:      PKCEOff,
	Prepare:   &Prepare{Params: map[string]string{"consumer_key": "{client_id}", "consumer_secret": "{client_secret}", "response_type": "request_url", "callback_url": "{callback_url}"}, Redirect: "RedirectURI"},
	Blob: &Blob{Param: "whData", AccessToken: "token", AccountID: "client_id", AccountLabel: "studio", CallbackURL: "callback_url",
		Metadata: []string{"client_id", "studio", "attention", "addr", "addr2", "addr3", "city", "state", "zip", "country", "email", "phone"}},
	Issue: &Issue{Params: map[string]string{"grant_type": "consumer_credentials", "consumer_key": "{client_id}", "consumer_secret": "{client_secret}"}},
	// Dates wear the label CST in summer too: only their difference is sure.
	Answer:          Answer{AccessToken: "Token", Effective: "EffectiveDate", Expires: "ExpirationDate", DateLayout: "1/2/2006 3:04:05 PM MST", ErrorCode: "ErrorNumber"},
	ErrorCodes:      map[string]string{"403.01": "invalid_grant", "403.02": "invalid_client", "403.03": "invalid_client", "403.04": "invalid_client", "403.05": "unsupported_grant_type"},
	AccessTokenLife: hour,
	NoRefresh:       true,
}
