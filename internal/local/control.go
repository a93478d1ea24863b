package local

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
)

// serveControl is the control plane for the command: the input and output of
// the connections function, as JSON. A browser cannot send that type on behalf
// of another site without asking first, and is not answered.
func (p *page) serveControl(w http.ResponseWriter, r *http.Request) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		http.Error(w, "The body must be application/json.", http.StatusUnsupportedMediaType)
		return
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "The body is too large or broke off.", http.StatusBadRequest)
		return
	}
	resp, err := p.invoke(r.Context(), raw)
	if err != nil {
		p.log.ErrorContext(r.Context(), "control plane failed", "err", err)
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = json.NewEncoder(w).Encode(resp) // the command is gone: nobody to tell
}
