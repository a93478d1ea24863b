package authorize

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/tooltest"
	"github.com/evergrant/evergrant/internal/web"
)

// The parts that redirectors were fooled with: schemes and what may pass for
// one, what stands before a host, hosts that look like ours, and what follows.
var (
	trickSchemes = []string{
		"https://", "http://", "HTTPS://", "hTTps://", "https:/", "https:", "https:///", "https:////", `https:\\`, `https:/\`, `https:\/`, `https:\`, "//", "///", "////", `/\`, `\\`, `\/`, "/", "", "://",
		" https://", "\thttps://", "\nhttps://", "\x00https://", "\x1fhttps://", "\u00a0https://", "\ufeffhttps://", "ht\ntps://", "https\t://", "https:\r//", "https:/\t/", "https://\n", "https:// ", "https %3a//", "https%3a//", "https&#58;//", "https:%2f%2f", "https:%5c%5c",
		"javascript:", "javascript://", "JaVaScRiPt:alert(1)//", "data:text/html,https://", "data:,", "blob:https://", "filesystem:https://", "view-source:https://", "about:blank#https://", "ws://", "wss://", "ftp://", "file://", "file:///", "intent://", "jar:https://", "https+x://", "x-https://", "mailto:", "httpss://",
	}
	trickUsers = []string{
		"", "@", ":@", "a@", "a:b@", "a@b@", "evil.example@", "evil.example:443@", "evil.example/@", "evil.example?@", "evil.example#@", `evil.example\@`, "evil.example%2f@", "evil.example%5c@", "evil.example%40", "evil.example;@", "evil.example,", "evil.example%00@", "evil.example\t@", "[@", "]@", "%40", "app.example.com@", "app.example.com:8443@", "app.example.com%40",
	}
	trickHosts = []string{
		"app.example.com", "APP.EXAMPLE.COM", "App.Example.Com", "app.example.com.", "app.example.com..", ".app.example.com", "app..example.com", "app.example.com:443", "app.example.com:0443", "app.example.com:", "app.example.com:0", "app.example.com:80", "app.example.com:8443", "app.example.com:65979", "app.example.com:+443", "app.example.com: 443", "app.example.com:443:443", "app.example.com:４４３", "app.example.com:443.evil.example", "app.example.com:@evil.example",
		"admin.example.com:8443", "admin.example.com", "admin.example.com:443", "ADMIN.example.com:08443", "localhost:3000", "localhost", "LOCALHOST:3000", "localhost.:3000", "127.0.0.1:3000", "[::1]:3000", "2130706433:3000", "0x7f.1:3000", "[::ffff:127.0.0.1]", "localhost:3000@evil.example",
		"evil.example", "app.example.com.evil.example", "evilapp.example.com", "app.example.com-evil.example", "app.example.comevil.example", "app-example.com", "app_example.com", "example.com", "x.app.example.com", "app.example.co", "app.example.community", "appXexample.com",
		"app。example。com", "app．example．com", "app｡example｡com", "ａｐｐ.example.com", "аpp.example.com", "app.exаmple.com", "app.ex\u00adample.com", "app.example.com\u200b", "app\u2024example\u2024com", "app.example.com\u2044evil.example", "app.example.com\u2215evil.example", "app.example.com／evil.example", "app.example.com＠evil.example", "app.example.com＼evil.example", "app.example.com？evil.example", "app.example.com＃evil.example", "app.example.c℀.evil.example", "app.ﬁ.example", "ⓐⓟⓟ.example.com", "app.example.ℂom", "xn--app-.example.com", "xn--pp-7kc.example.com", "app.example.com\u202e", "K.example", "app.ſ.example",
		"app%2eexample%2ecom", "app%2Eexample.com", "%61pp.example.com", "app.example.com%00", "app.example.com%00.evil.example", "app.example.com%2f.evil.example", "app.example.com%5c.evil.example", "app.example.com%23.evil.example", "app.example.com%40evil.example", "app.example.com%3a443", "app.example.com%0d%0a", "app.example.com%09", "app.example.com%20", "app.example.com%e3%80%82evil.example", "app.example.com%", "app.example.com%zz", "%ef%bd%81pp.example.com",
		"app.example.com\x00", "app.example.com\x00.evil.example", "app.exam\tple.com", "app.exam\nple.com", "app.example.com\r\n", "app.example.com ", " app.example.com", "app.example.com\x7f", "app.example.com\v", "app.example.com\\.evil.example", "app.example.com;evil.example", "app.example.com,evil.example", "app.example.com|evil.example", "app.example.com&evil.example", "app.example.com'", "app.example.com\"", "app.example.com<", "app.example.com^", "app.example.com`", "app.example.com{", "app.example.com$", "app.example.com!", "app.example.com*", "app.example.com(", "app.example.com=evil.example", "app.example.com~", "app.example.com+",
		"[app.example.com]", "[app.example.com", "app.example.com]", "[::1]app.example.com", "[app.example.com]@evil.example", "", "*", "*.example.com", "https://app.example.com",
		strings.Repeat("a", 64) + ".example.com", strings.Repeat("a.", 130) + "example.com", "app.example.com." + strings.Repeat("b.", 130) + "evil.example",
	}
	trickTails = []string{
		"", "/", "/done", "/done?a=b#c", "?a=b", "#f", "?", "#", "?//evil.example", "?@evil.example", "#@evil.example", "?u=https://evil.example", "/@evil.example", "//evil.example", "///evil.example", "/..//evil.example", "/../../evil.example", "/./", "/%2e%2e/", "/.%2e/", "/;/evil.example", ";@evil.example", "@evil.example", ":@evil.example", ":evil@evil.example",
		`\`, `\evil.example`, `\@evil.example`, `\.evil.example`, `/\evil.example`, `/\/evil.example`, `\\evil.example`, "%2f@evil.example", "%5c@evil.example", "%2fevil.example", "%00", "%00@evil.example", "\x00", "\x00@evil.example", "\t@evil.example", "\n@evil.example", "\r\nLocation: https://evil.example", "%0d%0aLocation:%20https://evil.example", "/\r\n", "/\t", "/ ", " ", "/\u2028", "/ü", "/\u202e", "/\xff", "\xff", "/%ff", "/%", "/%zz", "/[", "/]", "/{", "/|", "/^", "/`", "/\"", "/'", "/<script>", "/$", "/*", "/~",
		".evil.example", ".", "..", "-", ":", ":443", ":443@evil.example", ",evil.example", "&evil.example", "|evil.example", "?result=x&result=y", "?%72esult=x", "?result", "?&&result=1&", "?resul%74=1;result=2", "?result%00=1", "?a=%zz&result%zz=1", "?result+=1", "?%ffresult=1", "?provider=x#?provider=y", "?#result=1", "/" + strings.Repeat("a", 980), "/" + strings.Repeat("a", 1100), "?" + strings.Repeat("a=b&", 240),
	}
)

// tricks returns URLs that one program may take for the host's and another for
// somebody else's. They are always the same ones, in the same order.
func tricks() []string {
	var all []string
	for _, scheme := range trickSchemes {
		for _, host := range trickHosts {
			all = append(all, scheme+host+"/done")
		}
		for _, user := range trickUsers {
			all = append(all, scheme+user+"app.example.com/done", scheme+user+"app.example.com")
		}
		for _, tail := range trickTails {
			all = append(all, scheme+"app.example.com"+tail)
		}
	}
	for _, host := range trickHosts {
		for _, user := range trickUsers {
			all = append(all, "https://"+user+host, "https://"+user+host+"/done")
		}
		for _, tail := range trickTails {
			all = append(all, "https://"+host+tail)
		}
	}
	for _, user := range trickUsers {
		for _, tail := range trickTails {
			all = append(all, "https://"+user+"app.example.com"+tail, "http://"+user+"localhost:3000"+tail)
		}
	}
	for _, good := range []string{"https://app.example.com/done?a=b#c", "https://admin.example.com:8443/", "http://localhost:3000/"} {
		for i := range len(good) + 1 {
			for c := range 0x100 {
				all = append(all, good[:i]+string(rune(c))+good[i:])
			}
			for _, odd := range "\u0130\u017f\u200b\u200d\u2028\u202e\u2044\u2215\u2488\u3002\ufe56\ufeff\uff0e\uff0f\uff1a\uff20\uff3c\uff61\ufffd" {
				all = append(all, good[:i]+string(odd)+good[i:])
			}
			if i < len(good) {
				all = append(all, good[:i]+fmt.Sprintf("%%%02x", good[i])+good[i+1:], good[:i]+strings.ToUpper(good[i:]), good[:i]+good[i+1:])
			}
		}
	}
	return all
}

// A browser goes nowhere but to an origin of the list when it is sent to a
// return_to that was taken, and reads in its query what was added, once.
func TestBrowsersReadReturnToAsWeDo(t *testing.T) {
	var all, sent []string
	for _, s := range tricks() {
		all = append(all, strings.ToValidUTF8(s, "\ufffd")) // as JSON has them; what is taken is ASCII
	}
	seeds, _ := filepath.Glob("testdata/fuzz/FuzzReturnTo/*")
	for _, name := range seeds {
		all = append(all, seed(t, name))
	}
	for _, s := range all {
		if accepted(s, false) {
			sent = append(sent, web.WithQuery(s, map[string]string{"provider": "whisk", "connection_id": "acct_42", "result": "connected"}))
		}
	}
	verdicts := browse(t, append(all, sent...))
	added := verdicts[len(all):]
	taken, elsewhere, careful := 0, 0, 0
	for i, s := range all {
		ours := accepted(s, false)
		switch there := verdicts[i] == 'y'; {
		case ours && !there:
			t.Errorf("%q is taken, and the browser reads it as %c", s, verdicts[i])
		case ours:
			if added[taken] != 'q' {
				t.Errorf("%q: the browser reads %q as %c", s, sent[taken], added[taken])
			}
			taken++
		case there:
			careful++
		}
		if strings.HasPrefix(s, "https://app.example.com") && verdicts[i] == 'n' {
			elsewhere++
		}
	}
	t.Logf("%d URLs: %d taken, %d refused that the browser takes to an origin of the list; %d lead elsewhere and begin like one", len(all), taken, careful, elsewhere)
	if taken < 500 || elsewhere < 100 {
		t.Errorf("the URLs put nothing to the test: %d taken, %d lead elsewhere and begin like one", taken, elsewhere)
	}
}

// seed returns the string of a file that fuzzing has kept.
func seed(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile(`(?m)^string\((.*)\)$`).FindSubmatch(text)
	if quoted == nil {
		t.Fatalf("%s holds no string", name)
	}
	var s string
	if _, err := fmt.Sscanf(string(quoted[1]), "%q", &s); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// judge reads each URL as a browser does that a callback redirects: x is no
// URL, n is elsewhere, y is on an origin of the list, and q has our parameters
// there, each once.
const judge = `<!doctype html><meta charset="utf-8"><pre></pre><script>
const judge = s => {
	let u
	try { u = new URL(s, "https://connect.example.com/callback/whisk") } catch { return "x" }
	if (!origins.includes(u.origin) || u.protocol !== new URL(u.origin).protocol || u.username || u.password) return "n"
	const added = Object.entries({provider: "whisk", connection_id: "acct_42", result: "connected"})
	return added.every(([k, v]) => u.searchParams.getAll(k).join() === v) ? "q" : "y"
}
const origins = %s, urls = %s
document.querySelector("pre").textContent = urls.map(judge).join("")
</script>`

// browse returns what Chromium says of each URL: one page for all of them.
func browse(t *testing.T, urls []string) string {
	t.Helper()
	allowed, err1 := json.Marshal(returnOrigins)
	list, err2 := json.Marshal(urls) // it escapes what would end the script
	page := filepath.Join(t.TempDir(), "judge.html")
	if err := os.WriteFile(page, fmt.Appendf(nil, judge, allowed, list), 0o600); err1 != nil || err2 != nil || err != nil {
		t.Fatal(err1, err2, err)
	}
	address := url.URL{Scheme: "file", Path: page}
	out, err := exec.CommandContext(t.Context(), tooltest.Chromium(t), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--no-first-run", "--user-data-dir="+t.TempDir(), "--dump-dom", address.String()).Output()
	if err != nil {
		t.Fatalf("run Chromium: %v", err)
	}
	found := regexp.MustCompile(`<pre>([nqxy]*)</pre>`).FindSubmatch(out)
	if found == nil || len(found[1]) != len(urls) {
		t.Fatalf("Chromium answers with %d bytes, and no verdict for each of %d URLs", len(out), len(urls))
	}
	return string(found[1])
}

// The list would prove nothing if it changed from run to run.
func TestTricksAreManyAndSteady(t *testing.T) {
	all := tricks()
	if len(all) < 20000 || !slices.Equal(all, tricks()) {
		t.Errorf("%d URLs", len(all))
	}
}
