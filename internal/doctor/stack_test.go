package doctor

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Each case spoils one thing and names every finding that then is another.
func TestWhatIsWrongWithAStackIsFoundAndHasItsFix(t *testing.T) {
	status := func(s string) func(*world) { return func(w *world) { w.stack.Status = s } }
	schedule := func(state, target string) func(*world) {
		return func(w *world) { w.cloud.schedule = Schedule{State: state, Target: target} }
	}
	mapping := func(m Mapping) func(*world) { return func(w *world) { w.cloud.mappings["writes"] = m } }
	source := healthy().cloud.mappings["writes"].Source
	away := errors.New("AWS answers InternalServerError")
	tests := []struct {
		name  string
		spoil func(*world)
		want  []string
	}{
		{"nobody said which", func(w *world) { w.stack = Stack{} }, []string{"warning stack: schedule, alarms and what reads stream and queue were not checked: nobody said which stack it is | Name the stack with --stack"}},
		{"it is not there", func(w *world) { w.stack, w.stackErr = Stack{}, ErrMissing }, []string{"problem stack: the stack cannot be looked at: it is not there | Look at --stack"}},
		{"it may not be looked at", func(w *world) { w.stack, w.stackErr = Stack{}, ErrDenied }, []string{"warning stack: the stack cannot be looked at: your credentials may not look at it | Allow cloudformation:DescribeStacks and ListStackResources"}},
		{"it is being deployed", status("UPDATE_IN_PROGRESS"), []string{"warning stack: stack is UPDATE_IN_PROGRESS | Run doctor again"}},
		{"it went back", status("UPDATE_ROLLBACK_COMPLETE"), []string{"warning stack: stack is UPDATE_ROLLBACK_COMPLETE: the last deployment was taken back | Its events in CloudFormation say why. An alarm on errors that rings takes a deployment back too: deploy what mends it with Alarms=false. If that says that a version exists, delete that version with `aws lambda delete-function"}},
		{"it is stuck", status("UPDATE_ROLLBACK_FAILED"), []string{"problem stack: stack is UPDATE_ROLLBACK_FAILED | Its events"}},

		{"no schedule", func(w *world) { delete(w.stack.Resources, "RefreshFunctionSweep") }, []string{"problem schedule: the stack has no schedule RefreshFunctionSweep, so nothing is refreshed by itself | Deploy"}},
		{"a schedule that was deleted", func(w *world) { w.cloud.scheduleErr = ErrMissing }, []string{"problem schedule: somebody has deleted the schedule stack-sweep: nothing is refreshed by itself | Make it again"}},
		{"a schedule nobody may see", func(w *world) { w.cloud.scheduleErr = ErrDenied }, []string{"warning schedule: the schedule cannot be looked at: your credentials may not look at it | Allow scheduler:GetSchedule"}},
		{"who knows of the schedule", func(w *world) { w.cloud.scheduleErr = away }, []string{"problem schedule: the schedule cannot be looked at: AWS answers InternalServerError"}},
		{"a schedule that is off", schedule("DISABLED", healthy().cloud.schedule.Target), []string{"problem schedule: the schedule stack-sweep is DISABLED: nothing is refreshed by itself | Enable it in EventBridge Scheduler"}},
		{"a schedule of $LATEST", schedule("ENABLED", strings.TrimSuffix(healthy().cloud.schedule.Target, ":live")), []string{"problem schedule: the schedule starts arn:aws:lambda:eu-central-1:123456789012:function:stack-refresh, and not stack-refresh:live"}},

		{"no alarms", func(w *world) {
			delete(w.stack.Resources, "HeartbeatAlarm")
			delete(w.stack.Resources, "SpilledAlarm")
		}, []string{"warning alarms: the stack has none: nobody hears that tokens are not refreshed | Deploy it with Alarms=true, and name with AlarmTopicArn who is told."}},
		{"alarms without a topic", func(w *world) { w.cloud.alarms[0].Tells, w.cloud.alarms[1].Tells = false, false }, []string{"warning alarms: 2 alarms, and none tells anybody | Deploy with AlarmTopicArn"}},
		{"an alarm that was silenced", func(w *world) { w.cloud.alarms[1].Tells = false }, []string{"warning alarms: these tell nobody: stack-spilled | Enable"}},
		{"an alarm that was deleted", func(w *world) { w.cloud.alarms = w.cloud.alarms[:1] }, []string{"warning alarms: 1 of 2 are there"}},
		{"an alarm that rings", func(w *world) { w.cloud.alarms[0].Ringing = true }, []string{"warning alarms/ringing: stack-heartbeat | docs/operations.md says"}},
		{"alarms nobody may see", func(w *world) { w.cloud.alarmsErr = ErrDenied }, []string{"warning alarms: the alarms cannot be looked at: your credentials may not look at it | Allow cloudwatch:DescribeAlarms"}},

		{"workers", func(w *world) {
			w.stack.Resources["ShardWorkers"] = Resource{"workers", "AWS::Lambda::EventSourceMapping"}
		}, []string{"ok workers/mapping: the event source mapping is enabled"}},
		{"workers who do not begin", func(w *world) {
			w.stack.Resources["ShardWorkers"] = Resource{"workers", "AWS::Lambda::EventSourceMapping"}
			w.cloud.mappings["workers"] = Mapping{State: "Disabled"}
		}, []string{"problem workers/mapping: the event source mapping is Disabled: large shards are left to workers, who do not begin | Enable it: `aws lambda update-event-source-mapping --enabled --uuid workers"}},

		{"no bus", func(w *world) { w.tells(); w.cloud.busErr = ErrMissing }, []string{"problem events/bus: there is no event bus host: what the host was to be told is lost after a day"}},
		{"a bus nobody may see", func(w *world) { w.tells(); w.cloud.busErr = ErrDenied }, []string{"warning events/bus: event bus host cannot be looked at: your credentials may not look at it | Allow events:DescribeEventBus"}},
		{"no stream", func(w *world) { w.tells(); w.tables["connections"].Stream = "" }, []string{"problem events/stream: the stream of the connections table is off, not NEW_AND_OLD_IMAGES: the host is told nothing"}},
		{"a stream of keys", func(w *world) { w.tells(); w.tables["connections"].Stream = "KEYS_ONLY" }, []string{"problem events/stream: the stream of the connections table is KEYS_ONLY"}},
		{"a mapping that is off", mapping(Mapping{State: "Disabled", Source: source}), []string{"problem events/mapping: the event source mapping is Disabled: the host is told nothing, and what is a day old is lost | Enable it: `aws lambda update-event-source-mapping --enabled --uuid writes"}},
		{"a mapping in the making", mapping(Mapping{State: "Enabling", Source: source}), []string{"warning events/mapping: the event source mapping is Enabling"}},
		{"a mapping of the table before", mapping(Mapping{State: "Enabled", Source: "arn:old"}), []string{"problem events/mapping: the event source mapping reads arn:old, and not the stream that the table has now"}},
		{"a mapping in trouble", mapping(Mapping{State: "Enabled", Source: source, Result: "PROBLEM: Function call failed"}), []string{"warning events/mapping: the event source mapping is enabled, and says: PROBLEM: Function call failed"}},
		{"a mapping that was deleted", func(w *world) { w.cloud.mappingErr = ErrMissing }, []string{"problem events/mapping: somebody has deleted the event source mapping writes"}},
		{"a mapping nobody may see", func(w *world) { w.cloud.mappingErr = ErrDenied }, []string{"warning events/mapping: the event source mapping cannot be looked at: your credentials may not look at it | Allow lambda:GetEventSourceMapping"}},

		{"nobody to ask", func(w *world) { w.held = nil }, []string{"warning held: not checked: nobody named the connections function"}},
		{"a provider is held", func(w *world) {
			w.held = func(_ context.Context, provider string) (since time.Time, err error) {
				if provider == "whatnot" {
					since = noon
				}
				return since, nil
			}
		}, []string{"warning whatnot/held: Whatnot is held since 2026-11-23T12:00:00Z: nothing is refreshed there | When what it was held for is done: `evergrant release whatnot"}},
		{"the control plane may not be asked", func(w *world) {
			w.held = func(context.Context, string) (time.Time, error) { return noon, coded("AccessDeniedException") }
		}, []string{"warning held: whether a provider is held is not known: your credentials may not look at it | Allow lambda:InvokeFunction"}},
		{"the control plane does not know", func(w *world) {
			w.held = func(context.Context, string) (time.Time, error) { return noon, errors.New("invalid_request") }
		}, []string{"problem held: whether a provider is held is not known: invalid_request | Look at the log"}},
	}
	silent, telling := text(healthy().deployment(t)), func() []string { w := healthy(); w.tells(); return text(w.deployment(t)) }()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := healthy()
			usual := silent
			if strings.Contains(tt.want[0], " events/") {
				w.tells()
				usual = telling
			}
			tt.spoil(w)
			finds(t, w.deployment(t), usual, tt.want)
		})
	}
}

func TestAStackThatTellsItsHostHasNoProblem(t *testing.T) {
	w := healthy()
	w.tells()
	want := []string{
		"ok function/stack-events:live: the events function starts with its settings", "ok events/bus: host is there",
		"ok events/stream: the connections table has a stream of NEW_AND_OLD_IMAGES", "ok events/mapping: the event source mapping is enabled",
	}
	finds(t, w.deployment(t), text(healthy().deployment(t)), want)
}

func TestAStackThatCannotBeLookedAtIsAllThereIsToSay(t *testing.T) {
	w := healthy()
	w.stack, w.stackErr, w.settings = Stack{}, ErrMissing, nil
	if got := text(w.deployment(t)); len(got) != 1 || !strings.HasPrefix(got[0], "problem stack: ") {
		t.Errorf("%q", got)
	}
}

// Where PublicUrl is empty, the events function alone is told the API's URL.
func TestTheURLOfTheEventsFunctionIsNoDisagreement(t *testing.T) {
	w := healthy()
	w.settings["PUBLIC_URL"] = ""
	w.tells()
	w.functions = append([]Function{{Name: "stack-authorize:live", Settings: map[string]string{"SEAL_SECRET": "stack/seal", "CONNECT_SECRET": "stack/connect", "PUBLIC_URL": ""}}}, w.functions...)
	w.stack.Outputs = map[string]string{"PublicUrl": "https://abc.execute-api.eu-central-1.amazonaws.com"}
	got := text(w.deployment(t))
	for _, line := range got {
		if strings.Contains(line, " settings:") {
			t.Error(line)
		}
		if strings.Contains(line, " public_url: ") && line != "ok public_url: https://abc.execute-api.eu-central-1.amazonaws.com answers as Evergrant does" {
			t.Error(line)
		}
	}
}

func TestTheAliasesOfAStacksFunctionsAreRead(t *testing.T) {
	w := healthy()
	w.tells()
	if got := strings.Join(w.stack.Functions(), " "); got != "stack-events:live stack-refresh:live" {
		t.Error(got)
	}
}

// Each case spoils what a connect link is answered with.
func TestWhereAConnectLinkLeadsIsFound(t *testing.T) {
	to := func(old, replacement string) func(*Answer) {
		return func(a *Answer) {
			h := http.Header(a.Header)
			h.Set("Location", strings.Replace(h.Get("Location"), old, replacement, 1))
		}
	}
	cookie := func(old, replacement string) func(*Answer) {
		return func(a *Answer) {
			a.Header["Set-Cookie"][0] = strings.Replace(a.Header["Set-Cookie"][0], old, replacement, 1)
		}
	}
	status := func(status int, typ string) func(*Answer) {
		return func(a *Answer) {
			*a = Answer{Status: status, Body: []byte(`{"type":"urn:evergrant:problem:` + typ + `"}`)}
		}
	}
	const leads = "problem whiplash/authorize: a connect link leads to "
	tests := []struct {
		name  string
		spoil func(*Answer)
		want  string
	}{
		{"elsewhere", to("www.getwhiplash.com", "evil.example"), leads + "evil.example, where this is not as the secret and the definition say: the address | Run doctor again in five minutes"},
		{"another path", to("/oauth/authorize", "/oauth"), leads + "www.getwhiplash.com, where this is not as the secret and the definition say: the address"},
		{"another client and scope", func(a *Answer) { to("our-client", "other")(a); to("user_manage", "x")(a) }, leads + "www.getwhiplash.com, where this is not as the secret and the definition say: client_id, scope"},
		{"another callback", to("connect.example.com", "abc.example.com"), leads + "www.getwhiplash.com, where this is not as the secret and the definition say: redirect_uri"},
		{"no PKCE", to("code_challenge_method", "x"), leads + "www.getwhiplash.com, where this is not as the secret and the definition say: code_challenge_method, x"},
		{"a state that can be guessed", to("state=", "state=1&x="), leads + "www.getwhiplash.com, where this is not as the secret and the definition say: state, x"},
		{"no URL", func(a *Answer) { a.Header["Location"] = []string{"%"} }, "problem whiplash/authorize: a connect link leads to no URL"},
		{"no cookie", func(a *Answer) { delete(a.Header, "Set-Cookie") }, leads + "the provider, but not with one cookie of its own | Have what stands in front"},
		{"two cookies", func(a *Answer) { a.Header["Set-Cookie"] = append(a.Header["Set-Cookie"], "a=b") }, leads + "the provider, but not with one cookie of its own"},
		{"a cookie without its prefix", cookie("__Host-", ""), leads + "the provider, but not with one cookie of its own"},
		{"a cookie for scripts", cookie("; HttpOnly", ""), leads + "the provider, but the attributes of its cookie are changed"},
		{"a cookie without TLS", cookie("; Secure", ""), leads + "the provider, but the attributes of its cookie are changed"},
		{"a cookie for other sites", cookie("SameSite=Lax", "SameSite=None"), leads + "the provider, but the attributes of its cookie are changed"},
		{"a cookie for the whole domain", cookie("; Path=/", "; Path=/; Domain=example.com"), leads + "the provider, but the attributes of its cookie are changed"},
		{"a cookie for a path", cookie("Path=/", "Path=/callback"), leads + "the provider, but the attributes of its cookie are changed"},
		{"a cookie for ever", cookie("Max-Age=600", "Max-Age=86400"), leads + "the provider, but the attributes of its cookie are changed"},
		{"it may be cached", func(a *Answer) { a.Header["Cache-Control"] = []string{"max-age=60"} }, leads + "the provider, but Cache-Control is lost or changed"},
		{"a ticket that is not believed", status(403, "link-invalid"), "problem whiplash/authorize: a connect link is answered with 403 (link-invalid), and leads nowhere | See that the functions have the connect secret"},
		{"too many", func(a *Answer) { *a = Answer{Status: 429} }, "warning whiplash/authorize: a connect link is answered with 429, and leads nowhere: so many come at once"},
		{"no secret", status(500, "not-configured"), "problem whiplash/authorize: a connect link is answered with 500 (not-configured), and leads nowhere | The log of the authorize function"},
		{"a page", status(200, "x"), "problem whiplash/authorize: a connect link is answered with 200"},
	}
	usual := text(healthy().deployment(t))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := healthy()
			whole := w.public.authorize
			w.public.authorize = func(to string) Answer {
				a := whole(to)
				tt.spoil(&a)
				return a
			}
			finds(t, w.deployment(t), usual, []string{tt.want})
		})
	}
}

// A ticket is signed for nobody but Evergrant, and only with a key at hand.
func TestNoLinkIsOpenedWhereSomebodyElseAnswers(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"somebody else": func(w *world) { w.public.answer.Body = []byte("hello") },
		"no key":        func(w *world) { w.secrets["stack/connect"] = ErrHidden },
		"no usable key": func(w *world) { w.secrets["stack/connect"] = `{"current":"k1","k1":"CANARY-short"}` },
	} {
		w := healthy()
		spoil(w)
		for _, line := range text(w.deployment(t)) {
			if strings.Contains(line, "whiplash/authorize:") {
				t.Errorf("%s: %s", name, line)
			}
		}
		if len(w.public.gets) != 1 {
			t.Errorf("%s: asked %v", name, w.public.gets)
		}
	}
}
