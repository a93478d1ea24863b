package peers

import (
	"sync"
	"testing"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/pkg/providers"
)

const (
	publicURL   = "https://connect.example.com"
	redirectURI = publicURL + "/callback/whiplash" // a route that there is, for any server

	// Characters that Basic authentication has to carry form-encoded (RFC 6749
	// section 2.3.1), and a form as well.
	clientSecret = "s3cret+/%: &="
)

// A peer is a kind of authorization server. Its provider is a made-up
// definition; what an endpoint lacks of a URL is the server's.
type peer struct {
	name     string
	open     func() (server, error) // starts it once
	provider providers.Provider
	issuer   bool // its answers carry iss (RFC 9207)
	strict   bool // a code or a spent refresh token used again ends the authorization, and so does a revocation
}

func once(command func() ([]string, error), previousRefreshToken bool) func() (server, error) {
	return sync.OnceValues(func() (server, error) {
		c, err := command()
		if err != nil {
			return server{}, err
		}
		return launch(c, settings{
			ClientID: "evergrant", ClientSecret: clientSecret, RedirectURI: redirectURI,
			AccessTokenLife: 7200, PreviousRefreshToken: previousRefreshToken,
		})
	})
}

var environments = []providers.Environment{{Name: "production", BaseURL: "https://peer.example"}}

// oidcProvider is strict: using a spent refresh token ends the grant.
var oidcProvider = peer{
	name: "oidc-provider",
	open: once(oidcProviderCommand, false),
	provider: providers.Provider{
		ID: "oidc", Name: "oidc-provider", Environments: environments,
		Endpoints:   providers.Endpoints{AuthorizationURL: "/auth", TokenURL: "/token", RevocationURL: "/token/revocation", UserInfoURL: "/me"},
		KnownScopes: []string{"openid", "orders"},
		ClientAuth:  providers.ClientSecretBasic,
		AccountID:   "sub",
	},
	issuer: true, strict: true,
}

// doorkeeper is Doorkeeper's definition, as far as both of its ways agree.
func doorkeeper(id string, r providers.Rotation) providers.Provider {
	return providers.Provider{
		ID: id, Name: "Doorkeeper", Environments: environments,
		Endpoints:   providers.Endpoints{AuthorizationURL: "/oauth/authorize", TokenURL: "/oauth/token", RevocationURL: "/oauth/revoke", UserInfoURL: "/me"},
		Scopes:      []string{"orders"},
		KnownScopes: []string{"orders", "brief"},
		Rotation:    r,
		AccountID:   "sub",
		RevokesOne:  true,
	}
}

// doorkeeperKeeping has the column previous_refresh_token: a used refresh token
// lives until the new access token is first used.
var doorkeeperKeeping = peer{
	name: "Doorkeeper with previous_refresh_token", open: once(doorkeeperCommand, true),
	provider: doorkeeper("keeping", providers.UntilFirstUse),
}

// doorkeeperSingle lacks the column: a used refresh token is dead at once, and
// using it again harms nothing.
var doorkeeperSingle = peer{
	name: "Doorkeeper without previous_refresh_token", open: once(doorkeeperCommand, false),
	provider: doorkeeper("single", providers.Strict),
}

var all = []peer{oidcProvider, doorkeeperKeeping, doorkeeperSingle}

// start starts all servers at once, since each takes a while.
var start = sync.OnceFunc(func() {
	for _, p := range all {
		go func() { _, _ = p.open() }()
	}
})

// each runs a test at each of the given peers.
func each(t *testing.T, peers []peer, test func(t *testing.T, w *world)) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t, p))
		})
	}
}

// wrongVerifier is a PKCE verifier of the right form.
const wrongVerifier oauth.Secret = "0123456789012345678901234567890123456789012"
