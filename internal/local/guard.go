package local

import (
	"net/http"
	"slices"
	"strconv"
)

// ownHosts lets only requests through that name this machine and port as their
// host. Anything else is a browser that a page elsewhere has led here by a
// name of its own (DNS rebinding): to that browser the two are one origin.
func ownHosts(port int, next http.Handler) http.Handler {
	own := []string{"localhost:" + strconv.Itoa(port), "127.0.0.1:" + strconv.Itoa(port)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(own, r.Host) {
			http.Error(w, "Open http://"+own[0]+"/ instead: this address is for this machine alone.", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ownOrigin refuses what a browser sends on behalf of a page elsewhere, unless
// it only reads.
func ownOrigin(next http.Handler) http.Handler {
	return http.NewCrossOriginProtection().Handler(next)
}
