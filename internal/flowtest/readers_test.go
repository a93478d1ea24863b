package flowtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connections"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/refresh"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/pkg/providers"
	"github.com/evergrant/evergrant/pkg/tokens"
)

// A provider rotates tokens and counts its token requests.
type provider struct {
	delay time.Duration
	err   error
	calls atomic.Int32
}

func (p *provider) Refresh(context.Context, oauth.Client, oauth.Secret) (oauth.TokenSet, error) {
	n := p.calls.Add(1)
	<-time.After(p.delay)
	if p.err != nil {
		return oauth.TokenSet{}, p.err
	}
	return oauth.TokenSet{
		AccessToken: oauth.Secret(fmt.Sprint("c4nary-access-", n)), TokenType: "Bearer", RefreshToken: oauth.Secret(fmt.Sprint("c4nary-refresh-", n)),
		IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	}, nil
}

func (*provider) Issue(context.Context, oauth.Client) (oauth.TokenSet, error) {
	return oauth.TokenSet{}, errors.ErrUnsupported
}

func (*provider) Exchange(context.Context, oauth.Client, oauth.AuthorizationRequest, oauth.Secret) (oauth.TokenSet, error) {
	panic("no reader exchanges a code")
}

func (*provider) Account(context.Context, oauth.Client, oauth.Secret) (oauth.Account, error) {
	panic("no reader asks for an account")
}

func (*provider) Revoke(context.Context, oauth.Client, oauth.Secret, oauth.Secret) error { return nil }

// A vault has one client for each provider.
type vault struct{ keys seal.Keys }

func (vault) Client(_ context.Context, id string) (oauth.Client, error) {
	p, _ := providers.Find(id)
	return oauth.Client{Provider: p, ID: "client", Secret: "c4nary-secret1", Environment: p.Environments[0]}, nil
}

func (vault) Others(context.Context, oauth.Client) ([]oauth.Client, error) { return nil, nil }

func (v vault) SealKeys(context.Context) (seal.Keys, error) { return v.keys, nil }

// A world is the connections function with one connection, and the processes
// that read its tokens, in a bubble of virtual time.
type world struct {
	store    *connectiontest.Memory
	provider *provider
	handler  *connections.Handler
	replica  *connection.Connection // what eventually consistent reads have, if set
	invoked  atomic.Int32
}

var shop = connection.Key{ConnectionID: "acct_42", Provider: "whiplash"}

// newWorld connects the shop with access-0, which lives for life.
func newWorld(t *testing.T, life time.Duration) *world {
	t.Helper()
	keys, err := seal.ParseKeys([]byte(`{"current":"k1","k1":"` + signingKey + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{store: new(connectiontest.Memory), provider: new(provider)}
	v, half, log := vault{keys}, func() float64 { return 0.5 }, canary.Log(t)
	renewer := &refresh.Renewer{Leases: w.store, Breakers: w.store, Secrets: v, Tokens: w.provider, Shards: 4, NewID: rand.Text, Random: half, Now: time.Now, Log: log}
	w.handler = &connections.Handler{Reader: w.store, Writer: w.store, Requests: w.store, Breakers: w.store, Secrets: v, Tokens: w.provider, Shards: 4, Random: half, Now: time.Now, Log: log,
		Renew: func(ctx context.Context, k connection.Key, fence int64) error {
			_, err := renewer.Renew(ctx, k, fence)
			return err
		}}
	client, _ := v.Client(t.Context(), shop.Provider)
	c, err := connection.New(shop, client, oauth.TokenSet{
		AccessToken: "c4nary-access-0", TokenType: "Bearer", RefreshToken: "c4nary-refresh-0", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(life),
	}, keys, 4)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Connect(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return w
}

// readers returns n processes' readers.
func (w *world) readers(n int) []*tokens.Reader {
	list := make([]*tokens.Reader, n)
	for i := range list {
		list[i] = &tokens.Reader{DynamoDB: w, Table: "connections", Invoke: w.invoke, Now: time.Now}
	}
	return list
}

// invoke is Lambda: the function has a minute, whether or not its caller waits.
func (w *world) invoke(ctx context.Context, payload []byte) ([]byte, error) {
	w.invoked.Add(1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	resp, err := w.handler.Handle(ctx, payload)
	if err != nil {
		return nil, err
	}
	return json.Marshal(resp)
}

// GetItem reads the store, under the names that readers rely on.
func (w *world) GetItem(ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	id, _ := in.Key["connection_id"].(*types.AttributeValueMemberS)
	provider, _ := in.Key["provider"].(*types.AttributeValueMemberS)
	c, err := w.store.Get(ctx, connection.Key{ConnectionID: id.Value, Provider: provider.Value})
	if err != nil {
		return nil, err
	}
	if w.replica != nil && !*in.ConsistentRead {
		c = *w.replica
	}
	return &dynamodb.GetItemOutput{Item: map[string]types.AttributeValue{
		"access_token":      &types.AttributeValueMemberS{Value: c.AccessToken.Reveal()},
		"token_type":        &types.AttributeValueMemberS{Value: c.TokenType},
		"expires_at":        &types.AttributeValueMemberN{Value: strconv.FormatInt(c.ExpiresAt.Unix(), 10)},
		"connection_status": &types.AttributeValueMemberS{Value: string(c.Status)},
	}}, nil
}

// Five processes with ten requests each, whose token is answered 401 or is about
// to end, at once or one after the other: the provider is asked once, and
// everybody gets its new token.
func TestAStormOfReadersMakesOneProviderCall(t *testing.T) {
	replace := func(ctx context.Context, r *tokens.Reader, _ int) (tokens.Token, error) {
		return r.Replace(ctx, shop.ConnectionID, shop.Provider, tokens.Token{AccessToken: "c4nary-access-0"})
	}
	read := func(ctx context.Context, r *tokens.Reader, i int) (tokens.Token, error) {
		return r.Read(ctx, shop.ConnectionID, shop.Provider, time.Duration(5+i%10)*time.Minute)
	}
	tests := []struct {
		name  string
		life  time.Duration // of the token that they have
		each  time.Duration // between two callers
		delay time.Duration // of the provider; 0: two seconds
		stale bool          // eventually consistent reads have the old token to the end
		do    func(context.Context, *tokens.Reader, int) (tokens.Token, error)
	}{
		{name: "401 at once", life: time.Hour, do: replace},
		{name: "401 at a provider that takes its time", life: time.Hour, delay: 15 * time.Second, do: replace},
		{name: "401 one after the other", life: time.Hour, each: 50 * time.Millisecond, do: replace},
		{name: "401 while replicas lag", life: time.Hour, each: 50 * time.Millisecond, stale: true, do: replace},
		{name: "401 of a token that has expired", life: -time.Minute, do: replace},
		{name: "too little life left", life: time.Minute, do: read},
		{name: "too little life left, one after the other", life: time.Minute, each: 50 * time.Millisecond, do: read},
		{name: "too little life left while replicas lag", life: time.Minute, each: 50 * time.Millisecond, stale: true, do: read},
		{name: "expired", life: -time.Minute, do: read},
		{name: "some read, some report", life: time.Minute, each: 50 * time.Millisecond, do: func(ctx context.Context, r *tokens.Reader, i int) (tokens.Token, error) {
			if i%2 == 0 {
				return replace(ctx, r, i)
			}
			return read(ctx, r, i)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tt.life)
				w.provider.delay = cmp.Or(tt.delay, 2*time.Second)
				if tt.stale {
					c, err := w.store.Get(t.Context(), shop)
					if err != nil {
						t.Fatal(err)
					}
					w.replica = &c
				}
				readers := w.readers(5)
				var wg sync.WaitGroup
				for i := range 50 {
					wg.Go(func() {
						<-time.After(time.Duration(i) * tt.each)
						got, err := tt.do(t.Context(), readers[i%len(readers)], i)
						if err != nil || got.AccessToken != "c4nary-access-1" || got.Warning != nil {
							t.Errorf("caller %d: %v, %v", i, got, err)
						}
					})
				}
				wg.Wait()
				if calls := w.provider.calls.Load(); calls != 1 {
					t.Errorf("%d provider calls, want 1", calls)
				}
				if invoked := w.invoked.Load(); tt.each == 0 && invoked != int32(len(readers)) {
					t.Errorf("the function was invoked %d times by %d processes that asked at once", invoked, len(readers))
				}

				w.replica = nil
				before := w.invoked.Load()
				for i, r := range append(readers, w.readers(1)...) {
					if got, err := tt.do(t.Context(), r, i); err != nil || got.AccessToken != "c4nary-access-1" {
						t.Errorf("late reader %d: %v, %v", i, got, err)
					}
				}
				if calls, invoked := w.provider.calls.Load(), w.invoked.Load()-before; calls != 1 || invoked != 0 {
					t.Errorf("late readers made %d provider calls and invoked the function %d times", calls-1, invoked)
				}
			})
		})
	}
}

// A provider that is down is not asked by each reader, and takes no token away
// that works; where it hangs, no reader waits for it.
func TestReadersOfAProviderThatIsDown(t *testing.T) {
	tests := []struct {
		name  string
		delay time.Duration
		err   error
		most  time.Duration // that a reader waits
	}{
		{"refuses", 0, &oauth.Error{Status: 429, Reason: "the provider refused", RetryAfter: time.Hour}, 0},
		{"fails, and may have used the refresh token", 0, &oauth.Error{Status: 503, Reason: "the provider refused"}, 3 * time.Second},
		{"hangs", 30 * time.Second, &oauth.Error{Reason: "no answer"}, 5 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 2*time.Minute)
				w.provider.delay, w.provider.err = tt.delay, tt.err
				readers := w.readers(5)
				var wg sync.WaitGroup
				for i := range 50 {
					wg.Go(func() {
						<-time.After(time.Duration(i) * 500 * time.Millisecond)
						start := time.Now()
						got, err := readers[i%len(readers)].Read(t.Context(), shop.ConnectionID, shop.Provider, 10*time.Minute)
						var stale *tokens.StaleError
						if err != nil || got.AccessToken != "c4nary-access-0" || !errors.As(got.Warning, &stale) || stale.Cause == nil || stale.Left <= 0 {
							t.Errorf("reader %d: %v, %v", i, got, err)
						}
						if took := time.Since(start); took > tt.most {
							t.Errorf("reader %d waited %v, want at most %v", i, took, tt.most)
						}
					})
				}
				wg.Wait()
				if calls := w.provider.calls.Load(); calls != 1 {
					t.Errorf("%d provider calls, want 1", calls)
				}
				<-time.After(5 * time.Minute) // until what was begun has ended
			})
		})
	}
}
