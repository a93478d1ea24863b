package connections

import (
	"context"
	"time"

	"github.com/evergrant/evergrant/pkg/providers"
)

// A Held says whether a provider is held: nothing is then refreshed there but
// what a person asks for by name.
type Held struct {
	Provider  string `json:"provider"`
	HeldSince int64  `json:"held_since,omitzero"` // Unix seconds; absent: it is not held
}

// hold holds a provider, releases it or says whether it is held. Held, no sweep refreshes any of its
// connections, and no reader's demand does; a bare refresh goes through, so that
// a person can find out on a few what the provider says. New grants are taken as
// ever.
func (h *Handler) hold(ctx context.Context, req Request) (Response, error) {
	if _, ok := providers.Find(req.Provider); !ok {
		return Response{}, errUnknownProvider
	}
	if req.ConnectionID != "" {
		return Response{}, invalid(req.Action + " takes a provider, and no connection_id")
	}
	if req.Action == "held" {
		b, err := h.Breakers.GetBreaker(ctx, req.Provider)
		if err != nil {
			return Response{}, err
		}
		return Response{Provider: &Held{Provider: req.Provider, HeldSince: unix(b.HeldSince)}}, nil
	}
	var since time.Time
	if req.Action == "hold" {
		since = h.Now()
	}
	if err := h.Breakers.Hold(ctx, req.Provider, since); err != nil {
		return Response{}, err
	}
	if since.IsZero() {
		h.Log.WarnContext(ctx, "provider released", "provider", req.Provider)
	} else {
		h.Log.WarnContext(ctx, "provider held", "provider", req.Provider)
	}
	return Response{Provider: &Held{Provider: req.Provider, HeldSince: unix(since)}}, nil
}
