package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"

	"github.com/evergrant/evergrant/internal/doctor"
	"github.com/evergrant/evergrant/internal/local"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/pkg/providers"
)

// doctorTime is how long a whole examination may take.
const doctorTime = 2 * time.Minute

// A doctorOrder is what the flags of doctor ask for.
type doctorOrder struct {
	stack         string
	functions     []string
	settings      map[string]*string // of a deployment, by name
	dir           string             // of local mode
	secretsFile   string
	simulatorPort int
	allowPrivate  bool

	named []providers.Provider
}

func newDoctor(t tool, g *global) *cobra.Command {
	o := doctorOrder{settings: map[string]*string{}}
	cmd := &cobra.Command{
		Use:   "doctor [PROVIDER…]",
		Short: "Check a deployed stack or local mode before the first user does",
		Long: `Check a deployed stack or local mode before the first user does: public URL and clock, keys, tables, schedule, alarms, events,
client credentials, what to register at each provider, whether it can be reached, and where a connect link leads. Each problem
comes with its fix.

Without flags it checks local mode. Name a deployed stack with --stack. Or name functions, whose settings are read, or give settings as
flags or as environment variables of their names: a flag goes before what a function was told, and that before the environment; then
schedule and alarms are left out. It needs your AWS credentials; the stack's OperatorPolicy allows all of it but to read the keys,
and what they may not look at is a warning that names the permission.

It changes nothing, prints no secret and sends none to anybody. It opens a connect link of the connection ID evergrant-doctor and stops
where that leads to the provider, which leaves nothing behind.
Exit codes: 0 no problem, 1 problems, 2 the command line is wrong.`,
		Example: `  evergrant doctor
  evergrant doctor whiplash --secrets secrets.json
  evergrant doctor --stack evergrant-prod`,
		RunE: func(cmd *cobra.Command, args []string) error {
			findings, err := g.examine(cmd, t, o, args)
			if err != nil {
				return err
			}
			return g.report(t, findings)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.stack, "stack", "", "`name` of a deployed stack")
	flags.StringSliceVar(&o.functions, "function", nil, "`name` or ARN of a deployed function, whose settings are read; repeat it for more\n(default: the environment variable EVERGRANT_FUNCTION)")
	flags.StringVar(&o.dir, "dir", local.DefaultDir, "data `folder` of local mode")
	flags.StringVar(&o.secretsFile, "secrets", "", "`file` with the client credentials that local mode was started with")
	flags.IntVar(&o.simulatorPort, "simulator-port", local.DefaultSimulatorPort, "`port` of local mode's simulated providers")
	flags.BoolVar(&o.allowPrivate, "allow-private", false, "local mode was started with it")
	for _, name := range doctor.Names() {
		o.settings[name] = flags.String(doctor.FlagOf(name), "", "`"+name+"` of a deployed stack")
	}
	return cmd
}

// examine checks what the command line names.
func (g *global) examine(cmd *cobra.Command, t tool, o doctorOrder, args []string) ([]doctor.Finding, error) {
	for _, id := range args {
		p, ok := providers.Find(id)
		if !ok {
			return nil, misuse(cmd, "there is no provider %q: `evergrant providers` lists them", id)
		}
		if !slices.ContainsFunc(o.named, func(q providers.Provider) bool { return q.ID == id }) {
			o.named = append(o.named, p)
		}
	}
	here := changed(cmd, "url", "dir", "secrets", "simulator-port", "allow-private")
	there := changed(cmd, append(settingFlags(), "function", "stack")...)
	if len(here) > 0 && len(there) > 0 {
		return nil, misuse(cmd, "--%s is of local mode and --%s of a deployed stack: use one", here[0], there[0])
	}
	if o.stack != "" && len(o.functions) > 0 {
		return nil, misuse(cmd, "--stack names the functions as well: leave --function out")
	}
	d := o.deployment(cmd, t)
	ctx, cancel := context.WithTimeout(cmd.Context(), doctorTime)
	defer cancel()
	if len(here) == 0 && (len(there) > 0 || len(o.functions) > 0 || len(d.Environment) > 0) {
		return o.examineDeployment(ctx, t, d)
	}
	return g.examineLocal(ctx, cmd, t, o)
}

// changed returns those of the named flags that the command line gives.
func changed(cmd *cobra.Command, names ...string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return !cmd.Flags().Changed(name) })
}

// settingFlags returns the names of the flags for settings.
func settingFlags() []string {
	var names []string
	for _, name := range doctor.Names() {
		names = append(names, doctor.FlagOf(name))
	}
	return names
}

// deployment returns the deployment as the command line and the environment
// name it, and completes o by the environment.
func (o *doctorOrder) deployment(cmd *cobra.Command, t tool) doctor.Deployment {
	d := doctor.Deployment{Settings: map[string]string{}, Environment: map[string]string{}, Named: o.named}
	for name, value := range o.settings {
		if cmd.Flags().Changed(doctor.FlagOf(name)) {
			d.Settings[name] = *value
		}
		if v := t.Getenv(name); v != "" {
			d.Environment[name] = v
		}
	}
	if v := t.Getenv("EVERGRANT_FUNCTION"); v != "" && len(o.functions) == 0 && o.stack == "" {
		o.functions = strings.Split(v, ",")
	}
	return d
}

// examineDeployment checks the deployed stack d.
func (o *doctorOrder) examineDeployment(ctx context.Context, t tool, d doctor.Deployment) ([]doctor.Finding, error) {
	aws, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("read AWS settings: %w", err)
	}
	functions := lambda.NewFromConfig(aws)
	parts := doctor.Parts{
		Stacks: cloudformation.NewFromConfig(aws), Watch: cloudwatch.NewFromConfig(aws), Schedules: scheduler.NewFromConfig(aws),
		Mappings: functions, Buses: eventbridge.NewFromConfig(aws),
	}
	names := o.functions
	if o.stack != "" {
		d.Stack, d.StackErr = parts.Stack(ctx, o.stack)
		names = d.Stack.Functions()
	}
	d.Functions, d.Cloud, d.Now = doctor.ReadFunctions(ctx, functions, names), parts, t.Now
	if name := doctor.ControlPlane(d.Functions); name != "" {
		d.Held = held(deployed(name))
	}
	d.Secrets = doctor.Manager{API: secretsmanager.NewFromConfig(aws)}
	d.Tables = doctor.Database{API: dynamodb.NewFromConfig(aws), Now: t.Now}
	d.Public = network(t, true)
	d.Providers = func(allowPrivate bool) doctor.Web { return network(t, allowPrivate) }
	return d.Examine(ctx), nil
}

// held asks a control plane since when a provider is held.
func held(p plane) doctor.Held {
	return func(ctx context.Context, provider string) (time.Time, error) {
		out, err := call(ctx, p, map[string]any{"action": "held", "provider": provider})
		if err != nil || out.Provider == nil || out.Provider.HeldSince == 0 {
			return time.Time{}, err
		}
		return time.Unix(out.Provider.HeldSince, 0), nil
	}
}

// network is the way to the providers that the functions go.
func network(t tool, allowPrivate bool) doctor.Network {
	return doctor.Network{HTTP: oauth.NewHTTPClient(allowPrivate), Now: t.Now}
}

// examineLocal checks the local mode at g.url.
func (g *global) examineLocal(ctx context.Context, cmd *cobra.Command, t tool, o doctorOrder) ([]doctor.Finding, error) {
	u, err := url.Parse(g.url)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, misuse(cmd, "--url %q is not a URL such as http://localhost:8788", g.url)
	}
	if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsLoopback() { // redirect URIs of local mode are of localhost
		u.Host = strings.TrimSuffix("localhost:"+u.Port(), ":")
	}
	documents := doctor.Documents{}
	clients, err := local.Clients(o.secretsFile, "http://127.0.0.1:"+strconv.Itoa(o.simulatorPort))
	if err != nil {
		return nil, err
	}
	for id, document := range clients {
		documents[id] = document
	}
	connect, seal, err := local.Rings(o.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		documents[doctor.ConnectRing], documents[doctor.SealRing] = connect, seal
	}
	allowPrivate := o.allowPrivate || o.secretsFile == ""
	return doctor.Local{
		URL: strings.TrimSuffix(u.String(), "/"), Held: held(localMode(strings.TrimSuffix(u.String(), "/"))), Now: t.Now, Dir: o.dir, Source: o.secretsFile, Named: o.named, Secrets: documents,
		Public: network(t, true), Web: network(t, allowPrivate), AllowPrivate: allowPrivate,
	}.Examine(ctx), nil
}

// report prints findings. Problems are an error.
func (g *global) report(t tool, findings []doctor.Finding) error {
	problems, warnings := doctor.Count(findings, doctor.Problem), doctor.Count(findings, doctor.Warning)
	total := fmt.Sprintf("problems: %d, warnings: %d", problems, warnings)
	switch {
	case g.json:
		if err := doctor.PrintJSON(t.Out, findings); err != nil {
			return err
		}
	default:
		if err := doctor.Print(t.Out, findings); err != nil {
			return err
		}
	}
	if problems > 0 {
		return errors.New(total)
	}
	if !g.json {
		_, err := fmt.Fprintln(t.Out, total)
		return err
	}
	return nil
}
