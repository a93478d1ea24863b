package lambdatest_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/eventtest"
	"github.com/evergrant/evergrant/internal/lambdatest"
	"github.com/evergrant/evergrant/internal/metricstest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/template"
)

// wholeStack has all that an alarm of the template may look at.
var wholeStack = map[string]string{"FanOut": "true", "EventBus": "host"}

// awsAlarms returns the alarms of the template that look at metrics of AWS's own.
// Those on ours have their incidents in internal/refresh.
func awsAlarms(t *testing.T, stack *template.Stack) map[string]metricstest.Alarm {
	t.Helper()
	found := map[string]metricstest.Alarm{}
	for id, r := range stack.Resources {
		if r["Type"] != "AWS::CloudWatch::Alarm" {
			continue
		}
		properties, _ := r["Properties"].(map[string]any)
		alarm, err := metricstest.ParseAlarm(properties)
		if err != nil {
			t.Errorf("%s: %v", id, err)
		} else if alarm.Namespace() != "Evergrant" {
			found[id] = alarm
		}
	}
	if len(found) < 10 {
		t.Fatalf("only %d alarms look at metrics of AWS", len(found))
	}
	return found
}

// A scene is a deployment in an account, while something goes wrong.
type scene struct {
	*deployment
	*account
	bus     *hostBus
	broken  map[string]values // settings of functions that cannot start so
	clock   time.Time
	outside func(func()) // does something where the network is
}

func newScene(t *testing.T, stack *template.Stack) *scene {
	t.Helper()
	d := deploy(t, lambdatest.Config{})
	s := &scene{deployment: d, bus: newHostBus(t, d), broken: map[string]values{}, outside: func(f func()) { f() }}
	s.clock = time.Now().Truncate(5 * time.Minute).Add(5 * time.Minute) // where a period begins
	d.change["EventsFunction"] = values{"AWS_ENDPOINT_URL_EVENTBRIDGE": s.bus.url}
	s.account = &account{t: t, stack: stack, invoke: s.process, letters: map[string]int{}}
	s.now = func() time.Time { return s.clock }
	s.pass = func(d time.Duration) { s.clock = s.clock.Add(d) }
	return s
}

// process runs a function as a process of its own. It is at once done by the clock
// of the scene.
func (s *scene) process(function string, event []byte) ([]byte, time.Duration, error) {
	begin := time.Now()
	if settings := s.broken[function]; settings != nil {
		env := s.Environment(s.deployment.t, function)
		maps.Copy(env, settings)
		f, err := lambdatest.Launch(s.deployment.t.Context(), bootstraps(s.deployment.t)[function], env, time.Minute)
		if err == nil {
			f.Close()
			s.deployment.t.Fatalf("%s starts with %v", function, settings)
		}
		return nil, time.Since(begin), err
	}
	answer, err := s.function(function).Invoke(s.deployment.t.Context(), event)
	if failed := new(lambdatest.FunctionError); err != nil && !errors.As(err, &failed) {
		s.deployment.t.Errorf("%s: %v", function, err)
	}
	return answer, time.Since(begin), err
}

// crowded plays what comes each minute where there is no concurrency for it.
func crowded(come func(*scene)) func(*scene) {
	return func(s *scene) {
		s.full = true
		s.minutes(5, func(int) { come(s) })
	}
}

// forbid takes from a function what it may do at a service, such as dynamodb.
func (s *scene) forbid(function, service string) {
	all, _ := s.Rights(function)
	for _, right := range all {
		if strings.HasPrefix(right, service+":") {
			s.Withhold(function, right)
		}
	}
}

// opened is a browser that opens a connect link.
func (s *scene) opened() []byte {
	return addressed(s.deployment.t, "authorize-no-ticket.json", s.link("whatnot"), nil)
}

// returned is one that comes back from its provider.
func (s *scene) returned() []byte {
	t := s.deployment.t
	var sent events.APIGatewayV2HTTPResponse
	answer, _, err := s.account.invoke("AuthorizeFunction", s.opened())
	if err != nil || json.Unmarshal(answer, &sent) != nil {
		t.Fatalf("authorize answers %s, %v", answer, err)
	}
	b := newBrowser(t)
	b.keep(sent.Cookies)
	var back *url.URL
	s.outside(func() { back = b.decide(sent.Headers["Location"], "ada", "approve") })
	return addressed(t, "callback-fragment.json", back, b.sent())
}

// event is a file of the folder events/.
func (s *scene) event(file string) []byte { return eventtest.Read(s.deployment.t, file, nil) }

// usual is what happens in a minute when nothing is wrong: a sweep, two people who
// connect, a call of the control plane, two changes that the host is told.
func (s *scene) usual(minute int) {
	s.tick()
	s.browse("AuthorizeFunction", s.opened())
	back := s.returned()
	s.browse("CallbackFunction", back)
	s.browse("CallbackFunction", back)
	s.call("connections-get.json")
	s.write(rows(1)...)
	s.hand()
	if minute == 1 { // one process breaks
		s.broken["CallbackFunction"] = values{"STATE_TABLE": ""}
		s.browse("CallbackFunction", back)
		delete(s.broken, "CallbackFunction")
	}
}

// call lets somebody call the control plane.
func (s *scene) call(file string) { _, _ = s.run("ConnectionsFunction", s.event(file), s.now()) }

// took checks how long the longest run of a function took, to the second.
func (s *scene) took(function string, want time.Duration) {
	longest := 0.0
	for _, p := range s.noted.Points {
		if p.Metric == "Duration" && p.Dimensions["FunctionName"] == "stack-"+function {
			longest = max(longest, p.Value)
		}
	}
	if got := time.Duration(longest) * time.Millisecond; got.Truncate(time.Second) != want {
		s.deployment.t.Errorf("%s took %v, want %v", function, got, want)
	}
}

// ringing returns the alarms that go off from a time to now.
func (s *scene) ringing(alarms map[string]metricstest.Alarm, from time.Time) (list []string) {
	for id, alarm := range alarms {
		if alarm.Rings(s.noted.Points, from, s.now()) {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

// gone is the answer of EventBridge where there is no such bus.
func gone(_ int, w http.ResponseWriter) (bool, []int) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write([]byte(`{"__type":"ResourceNotFoundException","message":"Event bus host does not exist."}`))
	return true, nil
}

// Each alarm of the template on a metric of AWS's own goes off in its incident, by
// its own threshold, and no other does.
func TestEachAlarmOnAWSGoesOffInItsIncident(t *testing.T) {
	tests := []struct {
		name    string
		play    func(*scene)
		want    []string
		letters []string // the dead-letter queues that are not empty then
	}{
		{"all is well", func(s *scene) { s.minutes(10, s.usual); s.hint() }, nil, nil},

		{"authorize cannot start", func(s *scene) {
			s.broken["AuthorizeFunction"] = values{"CONNECT_SECRET": ""}
			request := s.event("authorize-no-ticket.json")
			s.minutes(5, func(int) { s.browse("AuthorizeFunction", request) })
		}, []string{"ApiErrorsAlarm", "AuthorizeErrorsAlarm"}, nil},
		{"callback cannot start", func(s *scene) {
			s.broken["CallbackFunction"] = values{"STATE_TABLE": ""}
			request := s.returned()
			s.minutes(5, func(int) { s.browse("CallbackFunction", request) })
		}, []string{"ApiErrorsAlarm", "CallbackErrorsAlarm"}, nil},
		{"refresh cannot start", func(s *scene) {
			s.broken["RefreshFunction"] = values{"DUE_SHARDS": "four"}
			s.minutes(5, func(int) { s.tick() })
		}, []string{"DeadLettersAlarm", "RefreshErrorsAlarm"}, []string{"SweepDeadLetters"}},
		{"connections cannot start", func(s *scene) {
			s.broken["ConnectionsFunction"] = values{"SEAL_SECRET": ""}
			s.minutes(5, func(int) { s.call("connections-get.json") })
		}, []string{"ConnectionsErrorsAlarm"}, nil},
		{"events cannot start", func(s *scene) {
			s.broken["EventsFunction"] = values{"EVENT_BUS": "two words"}
			s.minutes(5, func(int) { s.write(rows(1)...); s.hand() })
		}, []string{"EventsErrorsAlarm"}, nil},

		{"one sweep fails", func(s *scene) {
			s.broken["RefreshFunction"] = values{"DUE_SHARDS": "four"}
			s.minutes(1, func(int) { s.tick() })
			delete(s.broken, "RefreshFunction")
			s.minutes(5, func(int) { s.tick() })
		}, []string{"DeadLettersAlarm"}, []string{"SweepDeadLetters"}},
		{"the functions may not use DynamoDB", func(s *scene) {
			for _, function := range []string{"CallbackFunction", "ConnectionsFunction", "RefreshFunction"} {
				s.forbid(function, "dynamodb")
			}
			back := s.returned()
			s.minutes(5, func(int) {
				s.tick()
				s.browse("CallbackFunction", back)
				s.call("connections-get.json")
			})
		}, []string{"ApiErrorsAlarm", "DeadLettersAlarm", "RefreshErrorsAlarm"}, []string{"SweepDeadLetters"}},
		{"the functions may not use Secrets Manager", func(s *scene) {
			s.forbid("AuthorizeFunction", "secretsmanager")
			s.minutes(5, func(int) { s.browse("AuthorizeFunction", s.opened()) })
		}, []string{"ApiErrorsAlarm"}, nil},
		{"a shard cannot be read by its workers", func(s *scene) {
			s.forbid("RefreshFunction", "dynamodb")
			s.hint()
			s.minutes(1, func(int) {})
		}, []string{"DeadLettersAlarm"}, []string{"ShardDeadLetters"}},

		{"an account has no concurrency for authorize", crowded(func(s *scene) { s.browse("AuthorizeFunction", nil) }), []string{"ApiErrorsAlarm", "ThrottlesAlarm"}, nil},
		{"nor for callback", crowded(func(s *scene) { s.browse("CallbackFunction", nil) }), []string{"ApiErrorsAlarm", "ThrottlesAlarm"}, nil},
		{"nor for connections", crowded(func(s *scene) { s.call("connections-get.json") }), []string{"ThrottlesAlarm"}, nil},
		{"nor for events", crowded(func(s *scene) { s.write(rows(1)...); s.hand() }), []string{"ThrottlesAlarm"}, nil},
		{"nor for a sweep", crowded(func(s *scene) { s.tick() }), []string{"DeadLettersAlarm", "ThrottlesAlarm"}, []string{"SweepDeadLetters"}},

		{"the bus takes nothing for eight minutes", func(s *scene) {
			s.bus.answer = gone
			s.minutes(8, func(int) { s.write(rows(1)...); s.hand() })
		}, []string{"EventsErrorsAlarm"}, nil},
		{"the bus is asked for too much for a quarter of an hour", func(s *scene) {
			s.bus.answer = func(_ int, w http.ResponseWriter) (bool, []int) { throttled(w); return true, nil }
			s.slowly(func(*wire) { s.minutes(15, func(int) { s.write(rows(1)...); s.hand() }) })
		}, []string{"EventsAgeAlarm", "EventsErrorsAlarm"}, nil},
		{"the bus takes one of two for a quarter of an hour", func(s *scene) {
			s.write(rows(10)...)
			s.bus.answer = func(int, http.ResponseWriter) (bool, []int) { return false, []int{1} }
			s.minutes(15, func(int) { s.hand() })
		}, []string{"EventsAgeAlarm"}, nil},
		{"the bus takes nothing for more than a day", func(s *scene) {
			s.bus.answer = gone
			s.write(rows(1)...)
			s.minutes(1, func(int) { s.hand() })
			s.pass(24 * time.Hour)
			s.minutes(2, func(int) { s.hand() })
		}, []string{"DeadLettersAlarm"}, []string{"EventsDeadLetters"}},

		{"Secrets Manager does not answer authorize", func(s *scene) {
			s.slowly(func(w *wire) {
				w.delay = hanging("secretsmanager.")
				s.minutes(10, func(int) { s.browse("AuthorizeFunction", s.opened()) })
			})
		}, []string{"ApiErrorsAlarm", "AuthorizeDurationAlarm"}, nil},
		{"a provider does not answer the preparing call", func(s *scene) {
			s.slowly(func(w *wire) {
				w.delay = hanging(s.Provider)
				s.minutes(10, func(int) {
					s.browse("AuthorizeFunction", addressed(s.deployment.t, "authorize-no-ticket.json", s.link("whcc"), nil))
				})
			})
			s.took("AuthorizeFunction", oauth.ExchangeTimeout)
		}, []string{"ApiErrorsAlarm"}, nil},
		{"a provider does not answer the code exchange", func(s *scene) {
			s.slowly(func(w *wire) {
				s.minutes(10, func(int) {
					w.delay = hanging(s.Provider, "grant_type")
					s.browse("CallbackFunction", s.returned())
				})
			})
			s.took("CallbackFunction", oauth.ExchangeTimeout)
		}, nil, nil},
		{"DynamoDB takes no new grants", func(s *scene) {
			s.slowly(func(w *wire) {
				w.delay = notStored
				s.minutes(10, func(minute int) {
					if minute%5 < 2 {
						s.browse("CallbackFunction", s.returned())
					}
				})
			})
		}, []string{"CallbackDurationAlarm"}, nil},
		{"a provider does not answer a refresh", func(s *scene) {
			s.connect("whiplash")
			s.slowly(func(w *wire) {
				w.delay = hanging(s.Provider, "grant_type")
				s.minutes(10, func(int) { s.call("connections-refresh.json") })
			})
			s.took("ConnectionsFunction", oauth.RefreshTimeout)
		}, nil, nil},
		{"DynamoDB takes no new grants of the control plane", func(s *scene) {
			s.slowly(func(w *wire) {
				w.delay = notStored
				s.minutes(10, func(int) { s.call("connections-issue.json") })
			})
		}, []string{"ConnectionsDurationAlarm"}, nil},
		{"DynamoDB takes no refreshed tokens", func(s *scene) {
			due := []string{"whatnot", "whiplash", "whisk"}
			for _, provider := range due {
				s.connect(provider)
			}
			s.slowly(func(w *wire) {
				w.delay = notStored
				var sweeps sync.WaitGroup
				s.minutes(15, func(minute int) {
					if minute%5 == 0 {
						w.outside(func() { s.makeDue(connectionID, due[minute/5], "0") })
					}
					sweeps.Go(s.tick)
				})
				sweeps.Wait()
			})
		}, []string{"RefreshDurationAlarm"}, nil},
		{"the bus takes events slowly", func(s *scene) {
			s.slowly(func(w *wire) {
				slow := hanging("PutEvents")
				w.delay = func(call string) time.Duration { return min(slow(call), 4*time.Second) }
				s.minutes(10, func(minute int) {
					if minute%5 == 0 {
						s.write(rows(50)...)
					}
					s.hand()
				})
			})
		}, []string{"EventsDurationAlarm"}, nil},
	}
	stack, err := template.Render("../../template.yaml", wholeStack)
	if err != nil {
		t.Fatal(err)
	}
	alarms, met, mu := awsAlarms(t, stack), map[string]bool{}, new(sync.Mutex)
	t.Run("incident", func(t *testing.T) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, stack)
				from := s.now()
				tt.play(s)
				got := s.ringing(alarms, from)
				if !slices.Equal(got, tt.want) {
					t.Errorf("goes off: %q, want %q", got, tt.want)
				}
				if letters := slices.Sorted(maps.Keys(s.letters)); !slices.Equal(letters, tt.letters) {
					t.Errorf("messages in %q, want %q", letters, tt.letters)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, id := range append(got, slices.Collect(maps.Keys(s.letters))...) {
					met[id] = true
				}
			})
		}
	})
	for id := range stack.Resources {
		if _, ok := alarms[id]; (ok || strings.HasSuffix(id, "DeadLetters")) && !met[id] {
			t.Errorf("%s has no incident", id)
		}
	}
}
