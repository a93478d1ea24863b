package wiring

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/settings"
	"github.com/evergrant/evergrant/pkg/providers"
)

// What the functions send goes to no address of this machine or its network,
// unless their settings say so.
func TestPrivateProvidersAreASetting(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(s.Close)
	c := oauth.Client{Provider: providers.Provider{Name: "Acme"}, Endpoints: providers.Endpoints{TokenURL: s.URL}}
	for allowed, want := range map[bool]int64{false: 0, true: 1} {
		asked.Store(0)
		m := Machine{Settings: settings.Settings{AllowPrivateProviders: allowed}, Now: time.Now}
		if _, err := m.Tokens().Refresh(t.Context(), c, "r"); err == nil {
			t.Error("tokens came of an empty answer")
		}
		if asked.Load() != want {
			t.Errorf("allowed %v: %d requests", allowed, asked.Load())
		}
	}
	secrets, err := Machine{Getenv: func(name string) string {
		return map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}[name]
	}, AWS: http.DefaultClient, Now: time.Now, Random: func() float64 { return 0.5 }}.Secrets()
	if err != nil || secrets.AllowPrivate {
		t.Errorf("a client's secret may name private endpoints: %v", err)
	}
}
