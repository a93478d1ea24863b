package flowtest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/pkg/connect"
)

// BenchmarkConnect counts what one connection costs once the functions are
// warm: authorize calls nothing of AWS, callback writes twice and reads
// nothing.
func BenchmarkConnect(b *testing.B) {
	d := deploy(b)
	d.connect("whiplash", "login", "approve") // warm
	var authorizeCalls, writes, reads, secretReads int
	for b.Loop() {
		secretsBefore, storeBefore := d.manager.reads, total(d.store.Calls())
		link, err := connect.Ticket{ConnectionID: "acct_42", Provider: "whiplash"}.Link("https://connect.example.com", connect.Key{Secret: signingKey}, d.clock())
		if err != nil {
			b.Fatal(err)
		}
		start, _ := url.Parse(link)
		away := d.get(d.authorize.Handle, start, nil)
		authorizeCalls += d.manager.reads - secretsBefore + total(d.store.Calls()) - storeBefore

		b.StopTimer()
		back := d.decide(away.Headers["Location"], "login", "approve")
		before := d.store.Calls()
		b.StartTimer()
		cookie, _, _ := strings.Cut(away.Cookies[0], ";")
		if done := d.get(d.callback.Handle, back, []string{cookie}); done.StatusCode != http.StatusOK {
			b.Fatalf("callback: %d %s", done.StatusCode, done.Body)
		}
		after := d.store.Calls()
		w := after["ClaimRequest"] + after["FinishRequest"] + after["Connect"] - before["ClaimRequest"] - before["FinishRequest"] - before["Connect"]
		writes, reads = writes+w, reads+total(after)-total(before)-w
		secretReads += d.manager.reads - secretsBefore
		d.pass(time.Millisecond)
	}
	n := float64(b.N)
	b.ReportMetric(float64(authorizeCalls)/n, "AWS-calls/authorize")
	b.ReportMetric(float64(writes)/n, "writes/callback")
	b.ReportMetric(float64(reads)/n, "reads/callback")
	b.ReportMetric(float64(secretReads)/n, "secret-reads/connection")
	if authorizeCalls != 0 || writes != 2*b.N || reads != 0 || secretReads != 0 {
		b.Errorf("%d connections: authorize made %d AWS calls, callback %d writes and %d reads, %d secrets were read", b.N, authorizeCalls, writes, reads, secretReads)
	}
}

func total(calls map[string]int) (n int) {
	for _, c := range calls {
		n += c
	}
	return n
}
