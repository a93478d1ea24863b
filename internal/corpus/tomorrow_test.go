package corpus

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/dynamo"
)

// tomorrow adds to i what a later release may: attributes of any type
// (API_AttributeValue, 2026-11-23), in failure, too.
func tomorrow(i item) {
	s := &types.AttributeValueMemberS{Value: "x"}
	values := []types.AttributeValue{
		s, &types.AttributeValueMemberN{Value: "1.5"}, &types.AttributeValueMemberB{Value: []byte{1}}, &types.AttributeValueMemberBOOL{Value: true},
		&types.AttributeValueMemberNULL{Value: true}, &types.AttributeValueMemberL{Value: []types.AttributeValue{s}},
		&types.AttributeValueMemberM{Value: item{"x": s}}, &types.AttributeValueMemberSS{Value: []string{"x"}},
		&types.AttributeValueMemberNS{Value: []string{"1.5"}}, &types.AttributeValueMemberBS{Value: [][]byte{{1}}},
	}
	failure, fails := i["failure"].(*types.AttributeValueMemberM)
	for n, v := range values {
		name := "of_tomorrow_" + strconv.Itoa(n)
		if i[name] = v; fails {
			failure.Value[name] = v
		}
	}
}

// extended returns what is sealed for a purpose with a further member, sealed
// again.
func extended(t *testing.T, purpose string, sealed []byte) []byte {
	t.Helper()
	plain, err := keys(t).Open(purpose, sealed)
	must(t, err)
	members := map[string]json.RawMessage{}
	must(t, json.Unmarshal(plain, &members))
	members["of_tomorrow"] = json.RawMessage(`{"x":[1.5e100,null]}`)
	plain, err = json.Marshal(members)
	must(t, err)
	sealed, err = keys(t).Seal(purpose, plain)
	must(t, err)
	return sealed
}

// This release is the older one of the next: it reads of each format as ever
// what the next may have added to.
func TestWhatALaterReleaseAddsIsPassedOver(t *testing.T) {
	for _, n := range formats(t) {
		f := load(t, n)
		for _, i := range f.Connections {
			tomorrow(i)
		}
		for _, i := range f.State {
			tomorrow(i)
			if answer, ok := i["answer"].(*types.AttributeValueMemberB); ok {
				answer.Value = extended(t, "state\x00"+i["id"].(*types.AttributeValueMemberS).Value+"\x00answer", answer.Value)
			}
		}
		store, db := open(t)
		put(t, db, db.ConnectionsTable, f.Connections)
		put(t, db, db.StateTable, f.State)
		if got := generic(t, reads(t, store, f)); !reflect.DeepEqual(got, f.Reads) {
			t.Errorf("format %d is read as\n%v\nand was written as\n%v", n, got, f.Reads)
		}
		later := maps.Clone(f.Sealed)
		name := authrequest.CookieName(request.State, true) + "="
		value, attributes, _ := strings.Cut(strings.TrimPrefix(later["cookie"], name), ";")
		sealed, err := base64.RawURLEncoding.DecodeString(value)
		must(t, err)
		later["cookie"] = name + base64.RawURLEncoding.EncodeToString(extended(t, "authorization request", sealed)) + ";" + attributes
		for what, at := range spills {
			sealed, err := base64.StdEncoding.DecodeString(later[what])
			must(t, err)
			purpose := strings.Join([]string{"spill", at.ConnectionID, at.Provider, strconv.FormatInt(at.Fence, 10), strconv.FormatInt(at.Grant, 10)}, "\x00")
			later[what] = base64.StdEncoding.EncodeToString(extended(t, purpose, sealed))
		}
		opens(t, n, later)
	}
}

// The function that tells the host reads rows in another form.
func TestTheImageOfALaterReleaseIsRead(t *testing.T) {
	for _, n := range formats(t) {
		for id, i := range load(t, n).Connections {
			now, err := json.Marshal(i)
			must(t, err)
			want, err := dynamo.ReadImage(now)
			must(t, err)
			tomorrow(i)
			delete(i, "of_tomorrow_5") // of lists the corpus has not the form of AWS
			later, err := json.Marshal(i)
			must(t, err)
			if got, err := dynamo.ReadImage(later); err != nil || !reflect.DeepEqual(got, want) || got.ConnectionID != id {
				t.Errorf("format %d, %s is read as\n%+v, %v, want\n%+v", n, id, got, err, want)
			}
		}
	}
}

// A later release may not do without an attribute. One that does even so, or an
// operator's hand, spoils what stood there and nothing else of the row.
func TestARowWithoutAnAttributeIsRead(t *testing.T) {
	for _, n := range formats(t) {
		store, db := open(t)
		for id, i := range load(t, n).Connections {
			put(t, db, db.ConnectionsTable, map[string]item{id: i})
			whole, err := store.Get(t.Context(), key(id))
			must(t, err)
			for name := range i {
				if name == "connection_id" || name == "provider" {
					continue
				}
				less := maps.Clone(i)
				delete(less, name)
				put(t, db, db.ConnectionsTable, map[string]item{id: less})
				c, err := store.Get(t.Context(), key(id))
				if err != nil {
					t.Errorf("format %d, %s without %s: %v", n, id, name, err)
				}
				if differ := differences(c, whole); len(differ) != 1 {
					t.Errorf("format %d, %s without %s differs in %q", n, id, name, differ)
				}
			}
		}
	}
}

// differences returns the fields in which two connections differ.
func differences(a, b connection.Connection) (names []string) {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			names = append(names, x.Type().Field(i).Name)
		}
	}
	return names
}

// What one release has added, another leaves alone where it writes anything else.
func TestWhatALaterReleaseAddsStays(t *testing.T) {
	for _, n := range formats(t) {
		store, db := open(t)
		i := load(t, n).Connections["waiting"]
		tomorrow(i)
		put(t, db, db.ConnectionsTable, map[string]item{"waiting": i})
		row := func() connection.Connection {
			c, err := store.Get(t.Context(), key("waiting"))
			must(t, err)
			return c
		}
		writes := []struct {
			name string
			do   func() error
		}{
			{"refresh", func() error { refresh(t, store, key("waiting")); return nil }},
			{"reseal", func() error {
				return store.Reseal(t.Context(), key("waiting"), row().SealedRefreshToken, []byte("sealed"))
			}},
			{"connect", func() error { _, err := store.Connect(t.Context(), row()); return err }},
			{"restore", func() error { return store.Restore(t.Context(), row(), row().Fence) }},
			{"disconnect", func() error { _, err := store.Disconnect(t.Context(), key("waiting"), noon); return err }},
		}
		for _, write := range writes {
			must(t, write.do())
			out, err := db.Client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &db.ConnectionsTable, Key: item{"connection_id": i["connection_id"], "provider": i["provider"]}})
			must(t, err)
			for attribute, value := range i {
				if strings.HasPrefix(attribute, "of_tomorrow") && !reflect.DeepEqual(out.Item[attribute], value) {
					t.Errorf("format %d: %s makes %v of %s", n, write.name, out.Item[attribute], attribute)
				}
			}
		}
	}
}
