package battery

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// edited answers as the provider would, with change made to tokens; nil: none.
func (p *Provider) edited(change func(map[string]any)) Reply {
	return func(w http.ResponseWriter, _ *http.Request, grant func() (int, map[string]any)) {
		status, body := grant()
		if status == http.StatusOK {
			if change != nil {
				change(body)
			}
			p.sent(body)
		}
		answer(w, status, body)
	}
}

// set grants tokens, and answers them with one member changed; nil: removed.
func (p *Provider) set(name string, value any) Reply {
	return p.edited(func(m map[string]any) {
		m[name] = value
		if value == nil {
			delete(m, name)
		}
	})
}

// unrotated answers a refresh with new tokens, and the refresh token that was sent.
func (p *Provider) unrotated(w http.ResponseWriter, r *http.Request, grant func() (int, map[string]any)) {
	sent := r.PostForm.Get("refresh_token")
	p.mu.Lock()
	g := p.grants[sent]
	p.mu.Unlock()
	p.set("refresh_token", sent)(w, r, grant)
	p.mu.Lock()
	p.grants[sent] = g
	p.mu.Unlock()
}

// written grants tokens, and answers with a text that is made of them.
func (p *Provider) written(status int, text func(map[string]any) string, header ...string) Reply {
	return func(w http.ResponseWriter, _ *http.Request, grant func() (int, map[string]any)) {
		_, body := grant()
		p.sent(body)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text(body)) // who left is not told
	}
}

// fixed answers a status and a body, and gives nothing.
func fixed(status int, body string, header ...string) Reply {
	return func(w http.ResponseWriter, _ *http.Request, _ func() (int, map[string]any)) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // who left is not told
	}
}

// refusal answers an error (RFC 6749 section 5.2).
func refusal(status int, code string) Reply {
	return fixed(status, `{"error":"`+code+`","error_description":"c4nary-stranger says no","error_uri":"javascript:alert(1)"}`, "Content-Type", "application/json")
}

// asJSON is the text of an answer.
func asJSON(m map[string]any) string {
	text, _ := json.Marshal(m) // of strings and numbers: it cannot fail
	return string(text)
}

// asForm is the text of an answer as a form.
func asForm(m map[string]any) string {
	form := url.Values{}
	for name, v := range m {
		form.Set(name, fmt.Sprint(v))
	}
	return form.Encode()
}

// broken grants tokens, and cuts the connection when half of them is sent.
func (p *Provider) broken(w http.ResponseWriter, _ *http.Request, grant func() (int, map[string]any)) {
	_, body := grant()
	text := asJSON(p.sent(body))
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = io.WriteString(w, text[:len(text)/2]) // who left is not told
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// longer grants tokens, and names a length that the answer does not have.
func (p *Provider) longer(w http.ResponseWriter, _ *http.Request, grant func() (int, map[string]any)) {
	_, body := grant()
	text := asJSON(p.sent(body))
	w.Header().Set("Content-Length", strconv.Itoa(len(text)+10))
	_, _ = io.WriteString(w, text) // who left is not told
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// dropped cuts the connection.
func dropped(http.ResponseWriter, *http.Request, func() (int, map[string]any)) {
	panic(http.ErrAbortHandler)
}

// silent grants tokens, and never answers.
func silent(_ http.ResponseWriter, r *http.Request, grant func() (int, map[string]any)) {
	grant()
	<-r.Context().Done()
}

// slow grants tokens, and answers a byte at a time.
func slow(w http.ResponseWriter, r *http.Request, grant func() (int, map[string]any)) {
	_, body := grant()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for _, c := range []byte(asJSON(body)) {
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
		_, _ = w.Write([]byte{c}) // who left is not told
		_ = http.NewResponseController(w).Flush()
	}
}

// endless grants tokens in an answer of ten megabytes.
func endless(w http.ResponseWriter, _ *http.Request, grant func() (int, map[string]any)) {
	_, body := grant()
	_, _ = io.WriteString(w, asJSON(body))
	space := bytes.Repeat([]byte(" "), 64<<10)
	for range 160 {
		if _, err := w.Write(space); err != nil {
			return
		}
	}
}

// bomb answers ten kilobytes of gzip that are ten megabytes.
func bomb(w http.ResponseWriter, _ *http.Request, grant func() (int, map[string]any)) {
	_, body := grant()
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	_, _ = io.WriteString(z, asJSON(body))
	_, _ = z.Write(bytes.Repeat([]byte(" "), 10<<20))
	_ = z.Close()
}
