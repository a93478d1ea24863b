package refresh

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/dynamo"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	secretstore "github.com/evergrant/evergrant/internal/secrets"
	"github.com/evergrant/evergrant/pkg/providers"
)

const (
	benchRefreshes = 2000
	benchAtOnce    = 128
	benchRing      = `{"current":"k1","k1":"c4nary-seal-key-0123456789abcdef"}`
)

// benchPeer, in the environment, makes this test binary the other side of
// BenchmarkRefreshCPU.
const benchPeer = "EVERGRANT_BENCH_PEER"

func TestMain(m *testing.M) {
	if os.Getenv(benchPeer) != "" {
		servePeer()
		return
	}
	os.Exit(m.Run())
}

// BenchmarkRefreshCPU compares the CPU time of a refresh with that of a bare
// loop of two conditional updates and one POST.
//
// Both speak HTTP over loopback, with the same clients, to DynamoDB and a token
// endpoint that another process plays, so that only this side is measured: user
// and system time by getrusage. Both open a connection for each POST, which is a
// decision of its own (docs/design.md); TLS, which costs both the same and more
// than all the rest, is left out, so that it does not hide the difference.
func BenchmarkRefreshCPU(b *testing.B) {
	peer := startPeer(b)
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	db := dynamodb.New(dynamodb.Options{
		BaseEndpoint: aws.String(peer), Region: "eu-central-1", HTTPClient: hc,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	var full, bare time.Duration
	n := 0
	for round := 0; b.Loop(); round++ {
		for range 3 { // in turn, so that what else the machine does meets both
			f, g := cpuOf(func() { sweepPeer(b, db, peer) }), cpuOf(func() { loopPeer(b, db, peer) })
			if n++; n > 1 || round > 0 { // the first warms up
				full, bare = full+f, bare+g
			}
		}
	}
	per := float64(benchRefreshes * (n - 1))
	b.ReportMetric(full.Seconds()*1e6/per, "µs-cpu/refresh")
	b.ReportMetric(bare.Seconds()*1e6/per, "µs-cpu/bare")
	b.ReportMetric(full.Seconds()/bare.Seconds(), "x-bare")
}

// cpuOf returns the CPU time that this process takes for do.
func cpuOf(do func()) time.Duration {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			return 0
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	do()
	return used() - before
}

// sweepPeer refreshes everything by the function's own parts.
func sweepPeer(b *testing.B, db *dynamodb.Client, peer string) {
	b.Helper()
	store := &dynamo.Store{API: db, ConnectionsTable: "connections", StateTable: "state"}
	half := func() float64 { return 0.5 }
	s := &secretstore.Store{API: benchSecrets{peer: peer}, Prefix: "p/", Seal: "seal", AllowPrivate: true, Now: time.Now, Jitter: half}
	log := slog.New(slog.DiscardHandler) // at its level a function logs nothing for a success
	var ids atomic.Int64
	newID := func() string { return "lease-" + strconv.FormatInt(ids.Add(1), 10) }
	r := &Renewer{
		Leases: store, Breakers: store, Secrets: s, Tokens: &oauth.TokenClient{HTTP: oauth.NewHTTPClient(true), Now: time.Now},
		Shards: 4, NewID: newID, Random: half, Now: time.Now, Log: log,
	}
	h := &Handler{
		Index: store, Sweeps: store, Providers: store, Clients: s, Renew: r.Renew, Shards: 4, Concurrency: benchAtOnce,
		NewID: newID, Random: half, Now: time.Now, Log: log,
	}
	if got, err := h.sweep(context.Background()); err != nil || got != (Summary{Due: benchRefreshes, Refreshed: benchRefreshes}) {
		b.Fatalf("sweep = %+v, %v", got, err)
	}
}

// loopPeer does the same requests and no more, as one would write them down.
func loopPeer(b *testing.B, db *dynamodb.Client, peer string) {
	b.Helper()
	hc := oauth.NewHTTPClient(true)
	work := make(chan string)
	var workers sync.WaitGroup
	for range benchAtOnce {
		workers.Go(func() {
			for id := range work {
				if err := bareRefresh(context.Background(), db, hc, peer, id); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range benchRefreshes {
		work <- "acct_" + strconv.Itoa(i)
	}
	close(work)
	workers.Wait()
}

func bareRefresh(ctx context.Context, db *dynamodb.Client, hc *http.Client, peer, id string) error {
	key := map[string]types.AttributeValue{
		"connection_id": &types.AttributeValueMemberS{Value: id}, "provider": &types.AttributeValueMemberS{Value: "whiplash"},
	}
	number := func(n int64) types.AttributeValue {
		return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
	}
	now := time.Now().Unix()
	old, err := db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: aws.String("connections"), Key: key, ReturnValues: types.ReturnValueAllOld,
		UpdateExpression:    aws.String("SET lease_id = :lease, lease_until = :until ADD fence :one"),
		ConditionExpression: aws.String("due_at <= :now AND (attribute_not_exists(lease_id) OR lease_until <= :now)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":lease": &types.AttributeValueMemberS{Value: id}, ":until": number(now + 60), ":now": number(now), ":one": number(1),
		},
	})
	if err != nil {
		return err
	}
	form := url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {string(old.Attributes["refresh_token_sealed"].(*types.AttributeValueMemberB).Value)},
		"client_id": {"client"}, "client_secret": {"secret"},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, peer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := hc.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	var tokens struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		ExpiresIn    int64  `json:"expires_in"`
		Scope        string `json:"scope"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&tokens); err != nil {
		return err
	}
	_, err = db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: aws.String("connections"), Key: key,
		UpdateExpression: aws.String("SET access_token = :access, refresh_token_sealed = :refresh, expires_at = :expires, scopes = :scopes, " +
			"due_at = :due, refreshed_at = :now, updated_at = :now REMOVE lease_id, lease_until"),
		ConditionExpression: aws.String("lease_id = :lease"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":access": &types.AttributeValueMemberS{Value: tokens.AccessToken}, ":refresh": &types.AttributeValueMemberB{Value: []byte(tokens.RefreshToken)},
			":expires": number(now + tokens.ExpiresIn), ":scopes": &types.AttributeValueMemberSS{Value: strings.Fields(tokens.Scope)},
			":due": number(now + tokens.ExpiresIn - 300), ":now": number(now), ":lease": &types.AttributeValueMemberS{Value: id},
		},
	})
	return err
}

// benchSecrets is a Secrets Manager without a network: a sweep reads two
// secrets, however many connections are due.
type benchSecrets struct {
	secretstore.API
	peer string
}

func (m benchSecrets) GetSecretValue(_ context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	if *in.SecretId == "seal" {
		return &secretsmanager.GetSecretValueOutput{SecretString: aws.String(benchRing)}, nil
	}
	return &secretsmanager.GetSecretValueOutput{SecretString: aws.String(benchClient(m.peer))}, nil
}

func benchClient(peer string) string {
	return `{"client_id":"client","client_secret":"secret","endpoints":{"token_url":"` + peer + `/token"}}`
}

// startPeer starts the other side, which ends with b, and returns its URL.
func startPeer(b *testing.B) string {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), benchPeer+"=true")
	cmd.Stderr = os.Stderr
	stdin, err1 := cmd.StdinPipe() // the peer ends when it is closed
	stdout, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		b.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// servePeer plays DynamoDB and a token endpoint until the standard input ends.
// Every condition holds, and nothing is kept.
func servePeer() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	peer := "http://" + listener.Addr().String()
	items := benchItems(peer)
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"c4nary-access-canary-of-forty-three-characters-012345","token_type":"bearer","expires_in":7200,`+
			`"refresh_token":"c4nary-refresh-canary-of-forty-three-characters-01234","scope":"user_read user_manage","created_at":`+strconv.FormatInt(time.Now().Unix(), 10)+`}`)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		var in struct {
			TableName, ReturnValues   string
			Key                       map[string]map[string]string
			ExpressionAttributeValues map[string]map[string]any
			ExclusiveStartKey         map[string]map[string]string
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		_, _ = io.WriteString(w, items.answer(r.Header.Get("X-Amz-Target"), in.TableName, in.ReturnValues, in.Key["connection_id"]["S"],
			fmt.Sprint(in.ExpressionAttributeValues[":shard"]["S"]), in.ExclusiveStartKey["connection_id"]["S"]))
	})
	go func() { _ = http.Serve(listener, mux) }()
	fmt.Println(peer)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// items are the answers to claims, by connection ID.
type items map[string]string

func benchItems(peer string) items {
	p, _ := providers.Find("whiplash")
	client, err1 := oauth.ParseClient(p, []byte(benchClient(peer)), true)
	keys, err2 := seal.ParseKeys([]byte(benchRing))
	if err1 != nil || err2 != nil {
		fmt.Fprintln(os.Stderr, err1, err2)
		os.Exit(1)
	}
	all := items{}
	for i := range benchRefreshes {
		k := connection.Key{ConnectionID: "acct_" + strconv.Itoa(i), Provider: "whiplash"}
		c, _ := connection.New(k, client, rotated(0), keys, 4)
		sealed, _ := json.Marshal(c.SealedRefreshToken)
		all[k.ConnectionID] = `{"Attributes":{"connection_id":{"S":"` + k.ConnectionID + `"},"provider":{"S":"whiplash"},"connection_status":{"S":"active"},` +
			`"access_token":{"S":"c4nary-access-0"},"token_type":{"S":"Bearer"},"expires_at":{"N":"1795424400"},"refresh_token_sealed":{"B":` + string(sealed) + `},` +
			`"scopes":{"SS":["user_manage","user_read"]},"client_id":{"S":"client"},"environment":{"S":"production"},"fence":{"N":"7"},"stored_fence":{"N":"6"},` +
			`"connected_at":{"N":"1795424400"},"refreshed_at":{"N":"1795424400"},"updated_at":{"N":"1795424400"},"due_shard":{"S":"4.0"},"due_at":{"N":"1795424400"}}}`
	}
	return all
}

// answer is what DynamoDB says. The due index has all in the first shard.
func (a items) answer(target, table, returns, id, shard, after string) string {
	switch {
	case strings.HasSuffix(target, ".Query") && shard == "4.0":
		from := 0
		if after != "" {
			last, _ := strconv.Atoi(strings.TrimPrefix(after, "acct_"))
			from = last + 1
		}
		to := min(from+500, benchRefreshes)
		var rows []string
		for i := from; i < to; i++ {
			rows = append(rows, fmt.Sprintf(`{"connection_id":{"S":"acct_%d"},"provider":{"S":"whiplash"},"due_shard":{"S":"4.0"},"due_at":{"N":"1795424400"}}`, i))
		}
		if to == benchRefreshes {
			return `{"Items":[` + strings.Join(rows, ",") + `]}`
		}
		return `{"Items":[` + strings.Join(rows, ",") + `],"LastEvaluatedKey":` + rows[len(rows)-1] + `}`
	case strings.HasSuffix(target, ".Query"):
		return `{"Items":[]}`
	case table == "connections" && returns == "ALL_OLD":
		return a[id]
	case table == "state" && strings.HasSuffix(target, ".UpdateItem"):
		return `{"Attributes":{"id":{"S":"sweep"},"shards":{"NS":["4"]},"generations":{"NS":["4"]}}}`
	}
	return `{}`
}
