package completion

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/metricstest"
	"github.com/evergrant/evergrant/internal/oauth"
)

// Each end is one line, and what tokens are at risk by is counted too.
func TestEachEndOfAnAuthorizationIsCounted(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want []string // outcome first
	}{
		{"connected", nil, []string{"connected"}},
		{"refused", &oauth.Error{Status: 400, Code: "invalid_grant"}, []string{"failed"}},
		{"no answer", &oauth.Error{}, []string{"failed"}},
		{"another account", &Failure{Code: CodeAccountChanged, Err: errors.New("another")}, []string{"account_changed"}},
		{"an account that is not known", &Failure{Code: CodeAccountUnknown, Err: errors.New("unknown")}, []string{"failed"}},
		{"completed for another connection", &Failure{Code: CodeMismatch, Err: errors.New("another")}, []string{"failed"}},
		{"our client is refused", fmt.Errorf("obtain: %w", &oauth.Error{Status: 401, Code: "invalid_client"}), []string{"misconfigured", "Misconfigured"}},
		{"no client", oauth.ErrNotConfigured, []string{"misconfigured", "Misconfigured"}},
		{"spilled", fmt.Errorf("%w: away", ErrKept), []string{"other", "Spilled"}},
		{"logged", fmt.Errorf("%w: away", ErrNotStored), []string{"failed", "TokensOnlyInLog"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log strings.Builder
			c := &Completer{Now: func() time.Time { return noon }, Log: canary.Log(t, slog.NewJSONHandler(&log, nil))}
			c.count(t.Context(), "whatnot", tt.err)
			if log.Len() > 0 {
				t.Errorf("a function without a name prints %s", &log)
			}
			c.FunctionName = "callback"
			c.count(t.Context(), "whatnot", tt.err)
			points, lines, err := metricstest.Read(log.String())
			var got []string
			for _, p := range points {
				switch {
				case p.Metric == "Connections" && p.Dimensions["Provider"] == "whatnot":
					got = append([]string{p.Dimensions["Outcome"]}, got...)
				case p.Metric != "Connections":
					got = append(got, p.Metric)
				}
				if p.Value != 1 || p.Dimensions["FunctionName"] != "callback" {
					t.Errorf("point %+v", p)
				}
			}
			if err != nil || lines != 1 || !slices.Equal(got, tt.want) {
				t.Errorf("%d lines, %q, %v; want %q\n%s", lines, got, err, tt.want, &log)
			}
		})
	}
}
