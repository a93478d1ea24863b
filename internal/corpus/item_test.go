package corpus

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/oauth"
)

// An item is a row, in JSON as AWS writes it: {"fence": {"N": "1"}}.
type item map[string]types.AttributeValue

func (i item) MarshalJSON() ([]byte, error) {
	out := map[string]map[string]any{}
	for name, value := range i {
		v := reflect.ValueOf(value).Elem()
		kind := strings.TrimPrefix(v.Type().Name(), "AttributeValueMember")
		content := v.FieldByName("Value").Interface()
		switch list := content.(type) {
		case []string: // a set has no order
			content = slices.Sorted(slices.Values(list))
		case map[string]types.AttributeValue:
			content = item(list)
		}
		out[name] = map[string]any{kind: content}
	}
	return json.Marshal(out)
}

func (i *item) UnmarshalJSON(b []byte) error {
	var in map[string]struct {
		S  *string
		N  *string
		B  []byte
		SS []string
		NS []string
		M  *item
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*i = item{}
	for name, v := range in {
		switch {
		case v.S != nil:
			(*i)[name] = &types.AttributeValueMemberS{Value: *v.S}
		case v.N != nil:
			(*i)[name] = &types.AttributeValueMemberN{Value: *v.N}
		case v.B != nil:
			(*i)[name] = &types.AttributeValueMemberB{Value: v.B}
		case v.SS != nil:
			(*i)[name] = &types.AttributeValueMemberSS{Value: v.SS}
		case v.NS != nil:
			(*i)[name] = &types.AttributeValueMemberNS{Value: v.NS}
		case v.M != nil:
			(*i)[name] = &types.AttributeValueMemberM{Value: *v.M}
		default:
			return fmt.Errorf("%s has a type that the corpus does not know", name)
		}
	}
	return nil
}

// plain returns i without what is made at random.
func plain(i item) map[string]any {
	out := map[string]any{}
	for name, value := range i {
		switch value.(type) {
		case *types.AttributeValueMemberB:
			out[name] = "sealed"
		default:
			b, _ := json.Marshal(item{name: value})
			out[name] = string(b)
		}
		if strings.HasSuffix(name, "_mark") {
			out[name] = "random"
		}
	}
	return out
}

// generic returns v as it is after a way through JSON.
func generic(t *testing.T, v any) (out map[string]any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// dump returns what is in v, secrets too, without what is empty, so that a
// field which a later release adds changes nothing.
func dump(v any) any {
	switch x := v.(type) {
	case oauth.Secret:
		return x.Reveal()
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	case []byte:
		return nil // sealed: it is opened instead
	case map[string]oauth.Secret:
		out := map[string]any{}
		for name, secret := range x {
			out[name] = secret.Reveal()
		}
		return out
	}
	value := reflect.ValueOf(v)
	if value.Kind() != reflect.Struct {
		return v
	}
	out := map[string]any{}
	for i := range value.NumField() {
		if field := value.Field(i); !field.IsZero() {
			if inner := dump(field.Interface()); inner != nil {
				out[value.Type().Field(i).Name] = inner
			}
		}
	}
	return out
}
