package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/spf13/cobra"

	"github.com/evergrant/evergrant/pkg/providers"
)

const (
	// mergeWorkers is how many rows are put at the same time: some two thousand a
	// second, of the 4,000 that a table takes without warming up.
	mergeWorkers = 16
	// mergeAttempts is how often one call is made where DynamoDB is throttled.
	mergeAttempts = 10
	// sweepTime is how long a sweep goes on that began before a hold.
	sweepTime = 2 * time.Minute
)

func newMerge(t tool, g *global) *cobra.Command {
	var m merging
	cmd := &cobra.Command{
		Use:   "merge",
		Short: "Put back the rows that a table from a backup has and the stack's table has not",
		Long: `Put back the rows that a table from a backup has and the stack's table has not.

A row that is there is newer, and stays as it is; the table from the backup is only read. It works beside people who
connect, and may be stopped and run again: what is there by then is left alone.

Every provider must be held, for two minutes at least, since the refresh tokens of a backup may have been used: hold
them with "evergrant hold --all", and find out with "evergrant verify" whether they live. That is asked again before
each page of about a megabyte.

It needs an administrator's credentials, for what the stack's OperatorPolicy leaves out: dynamodb:DescribeTable and
dynamodb:Scan on the table from the backup, dynamodb:PutItem (for --dry-run dynamodb:GetItem) on the stack's.`,
		Example: `  evergrant merge --from restored --into my-stack-ConnectionsTable-XXXX --function "$FUNCTION" --dry-run
  evergrant merge --from restored --into my-stack-ConnectionsTable-XXXX --function "$FUNCTION"`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			function := g.function
			if function == "" {
				function = t.Getenv("EVERGRANT_FUNCTION")
			}
			if function == "" || cmd.Flags().Changed("url") {
				return misuse(cmd, "it works on a deployed stack: name that with --function")
			}
			if m.from == "" || m.into == "" || m.from == m.into {
				return misuse(cmd, "name two tables: that from the backup with --from, and with --into what the stack's output ConnectionsTableName holds")
			}
			return g.merge(cmd.Context(), t, &m, function)
		},
	}
	cmd.Flags().StringVar(&m.from, "from", "", "`name` of the table that was restored from a backup")
	cmd.Flags().StringVar(&m.into, "into", "", "`name` of the stack's table, as in its output ConnectionsTableName")
	cmd.Flags().BoolVar(&m.dryRun, "dry-run", false, "only count what is missing; nothing needs to be held for that")
	return cmd
}

// A merging puts the rows of one table into another where they are missing. After
// its fields are set it is used once.
type merging struct {
	from, into string
	dryRun     bool // only count
	db         *dynamodb.Client
	held       func(context.Context) error // why rows may not be put

	mu                    sync.Mutex
	missing, kept, failed int
	first                 error // of those that failed
}

// merge merges as m says, into the table of a function's stack.
func (g *global) merge(ctx context.Context, t tool, m *merging, function string) error {
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("read AWS settings: %w", err)
	}
	m.db = dynamodb.NewFromConfig(settings, func(o *dynamodb.Options) { o.RetryMaxAttempts = mergeAttempts })
	m.held = func(ctx context.Context) error { return allHeld(ctx, deployed(function), t.Now()) }
	if err := m.check(ctx, lambda.NewFromConfig(settings), function); err != nil {
		return err
	}
	err = m.run(ctx)
	if err == nil && m.failed > 0 {
		err = fmt.Errorf("run this again for what failed, of which the first is: %w", m.first)
	}
	done := "put back"
	if m.dryRun {
		done = "missing"
	}
	if g.json {
		return errors.Join(err, printJSON(t.Out, map[string]any{strings.ReplaceAll(done, " ", "_"): m.missing, "kept": m.kept, "failed": m.failed}))
	}
	_, printErr := fmt.Fprintf(t.Out, "%s: %d, there already: %d, failed: %d\n", done, m.missing, m.kept, m.failed)
	return errors.Join(err, printErr)
}

// allHeld returns why rows from a backup may not be put at a time: a provider that
// a control plane does not hold, or a sweep that may not have heard of it.
func allHeld(ctx context.Context, p plane, now time.Time) error {
	for _, provider := range providers.All() {
		out, err := setHeld(ctx, p, "held", provider.ID)
		if err != nil {
			return err
		}
		since := out.Provider.HeldSince
		if since == 0 {
			return fmt.Errorf("%s is not held, so a sweep would use refresh tokens of the backup: `evergrant hold --all`, and two minutes later run this again", provider.ID)
		}
		if end := time.Unix(since, 0).Add(sweepTime); now.Before(end) {
			return fmt.Errorf("%s is held since a moment ago, and a sweep that began before may go on: run this again in %s", provider.ID, end.Sub(now).Round(time.Second))
		}
	}
	return nil
}

// check refuses tables that are one, that are no connections tables, or of which
// the second is not that of a function's stack.
func (m *merging) check(ctx context.Context, functions lambda.GetFunctionConfigurationAPIClient, function string) error {
	var arns, names []string
	for _, name := range []string{m.from, m.into} {
		out, err := m.db.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
		if err != nil {
			return fmt.Errorf("describe table %s: %w", name, err)
		}
		if keys := keysOf(out.Table); keys != "connection_id S HASH, provider S RANGE" {
			return fmt.Errorf("table %s is no connections table: its key is %s", name, keys)
		}
		if out.Table.TableStatus != types.TableStatusActive && out.Table.TableStatus != types.TableStatusUpdating {
			return fmt.Errorf("table %s is %s: wait until it is ACTIVE", name, out.Table.TableStatus)
		}
		arns, names = append(arns, aws.ToString(out.Table.TableArn)), append(names, aws.ToString(out.Table.TableName))
	}
	if arns[0] == arns[1] {
		return fmt.Errorf("%s and %s are one table: name that from the backup with --from", m.from, m.into)
	}
	out, err := functions.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &function})
	if err != nil {
		return fmt.Errorf("read the settings of %s: %w", function, err)
	}
	if out.Environment == nil || out.Environment.Variables["CONNECTIONS_TABLE"] != names[1] {
		return fmt.Errorf("%s is not of the stack that has table %s, so its holds say nothing: look at --function and --into", function, m.into)
	}
	return nil
}

// keysOf returns the keys of a table with their types, in order.
func keysOf(table *types.TableDescription) string {
	var keys []string
	for _, k := range table.KeySchema {
		for _, a := range table.AttributeDefinitions {
			if aws.ToString(a.AttributeName) == aws.ToString(k.AttributeName) {
				keys = append(keys, fmt.Sprintf("%s %s %s", *a.AttributeName, a.AttributeType, k.KeyType))
			}
		}
	}
	return strings.Join(keys, ", ")
}

// run reads one table page by page, and goes on to the next page unless nothing of
// one could be put.
func (m *merging) run(ctx context.Context) error {
	pages := dynamodb.NewScanPaginator(m.db, &dynamodb.ScanInput{TableName: &m.from})
	for pages.HasMorePages() {
		if !m.dryRun {
			if err := m.held(ctx); err != nil {
				return err
			}
		}
		out, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("read table %s: %w", m.from, err)
		}
		before := m.failed
		m.rows(ctx, out.Items)
		if m.failed-before == len(out.Items) && m.failed > before {
			break
		}
	}
	return nil
}

// rows merges the rows of one page.
func (m *merging) rows(ctx context.Context, items []map[string]types.AttributeValue) {
	workers := make(chan struct{}, mergeWorkers)
	var all sync.WaitGroup
	for _, item := range items {
		workers <- struct{}{}
		all.Go(func() {
			defer func() { <-workers }()
			put := m.put
			if m.dryRun {
				put = m.look
			}
			missing, err := put(ctx, item)
			m.count(item, missing, err)
		})
	}
	all.Wait()
}

// put puts a row unless there is one of its key; DynamoDB looks at the condition
// on the item of the whole key (PutItem, 2026-11-23).
func (m *merging) put(ctx context.Context, item map[string]types.AttributeValue) (missing bool, err error) {
	_, err = m.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &m.into, Item: item,
		ConditionExpression: aws.String("attribute_not_exists(connection_id) AND attribute_not_exists(provider)"),
	})
	var there *types.ConditionalCheckFailedException
	if errors.As(err, &there) {
		return false, nil
	}
	return true, err
}

// look reports whether there is no row of a row's key.
func (m *merging) look(ctx context.Context, item map[string]types.AttributeValue) (missing bool, err error) {
	out, err := m.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &m.into, ConsistentRead: aws.Bool(true), ProjectionExpression: aws.String("connection_id"),
		Key: map[string]types.AttributeValue{"connection_id": item["connection_id"], "provider": item["provider"]},
	})
	return err == nil && out.Item == nil, err
}

// count remembers what became of a row.
func (m *merging) count(item map[string]types.AttributeValue, missing bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err != nil:
		m.failed++
		if m.first == nil {
			id, _ := item["connection_id"].(*types.AttributeValueMemberS) // check has seen that both are strings
			provider, _ := item["provider"].(*types.AttributeValueMemberS)
			m.first = fmt.Errorf("%s at %s: %w", id.Value, provider.Value, err)
		}
	case missing:
		m.missing++
	default:
		m.kept++
	}
}
