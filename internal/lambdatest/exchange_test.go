package lambdatest_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/lambdatest"
	"github.com/evergrant/evergrant/internal/template"
)

// exchange puts a table of items in the place of the connections table, under its
// name, as a restore from a backup does.
func (d *deployment) exchange(items ...map[string]types.AttributeValue) {
	d.t.Helper()
	tables, err := template.Tables("../../template.yaml")
	if err != nil {
		d.t.Fatal(err)
	}
	name, ctx := &d.Database.ConnectionsTable, d.t.Context()
	if _, err := d.Database.Client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: name}); err != nil {
		d.t.Fatal(err)
	}
	for _, table := range tables {
		if *table.TableName != "ConnectionsTable" {
			continue
		}
		table.TableName = name
		if _, err := d.Database.Client.CreateTable(ctx, table); err != nil {
			d.t.Fatal(err)
		}
	}
	for _, item := range items {
		if _, err := d.Database.Client.PutItem(ctx, &dynamodb.PutItemInput{TableName: name, Item: item}); err != nil {
			d.t.Fatal(err)
		}
	}
}

// held returns how many providers are held, as the state table has it.
func (d *deployment) held() int {
	d.t.Helper()
	filter := "attribute_exists(held_since)"
	out, err := d.Database.Client.Scan(d.t.Context(), &dynamodb.ScanInput{TableName: &d.Database.StateTable, FilterExpression: &filter})
	if err != nil {
		d.t.Fatal(err)
	}
	return len(out.Items)
}

// Nothing of a table that was exchanged is refreshed, by a sweep or on read, until
// a person releases it. A person's own refresh goes through, to find out.
func TestATableFromABackupWaitsForAPerson(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	d.connect("whiplash")
	d.makeDue(connectionID, "whiplash", "3")
	backup := d.item(connectionID, "whiplash")
	if s := d.sweep(); s != (summary{Due: 1, Refreshed: 1}) || d.held() != 0 {
		t.Fatalf("before, a sweep answers %+v, %d are held", s, d.held())
	}
	grant := d.item(connectionID, "whiplash")
	grant["due_at"], grant["due_shard"] = backup["due_at"], backup["due_shard"]
	d.exchange(grant)
	for i, want := range []summary{{}, {Due: 1, Skipped: 1}, {Due: 1, Skipped: 1}} {
		if s := d.sweep(); s != want || d.held() != 4 {
			t.Errorf("sweep %d answers %+v, want %+v; %d are held", i, s, want, d.held())
		}
	}
	if got := d.ask("refresh", connectionID, "whiplash", map[string]any{"min_ttl": 86400}); got.Error == nil || got.Error.Type != "provider_unavailable" {
		t.Errorf("a reader's demand is answered %+v", got)
	}
	if got, want := text(t, d.item(connectionID, "whiplash"), "access_token"), text(t, grant, "access_token"); got != want {
		t.Error("the connection was refreshed")
	}
	if n := strings.Count(d.printed(), "connections table is another one than before"); n != 1 {
		t.Errorf("the log says it %d times", n)
	}
	if got := d.ask("refresh", connectionID, "whiplash", nil); got.Error != nil {
		t.Errorf("a person's refresh is answered %+v", *got.Error)
	}
	for _, provider := range []string{"whiplash", "whisk", "whatnot", "whcc"} {
		d.ask("release", "", provider, nil)
	}
	d.makeDue(connectionID, "whiplash", "3")
	if s := d.sweep(); s != (summary{Due: 1, Refreshed: 1}) || d.held() != 0 {
		t.Errorf("once it is released, a sweep answers %+v, %d are held", s, d.held())
	}
}
