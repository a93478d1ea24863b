package dynamo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A reader reads typed attributes of an item. What is absent is a zero value;
// what has another type is an error, the first of which stays in *err. Errors
// name the attribute and never show its value.
type reader struct {
	item item
	path string // of the map within the item, ending in a dot
	err  *error // shared by the readers of one item
}

func newReader(i item) *reader { return &reader{item: i, err: new(error)} }

// value returns an attribute of type T, or nil.
func value[T types.AttributeValue](r *reader, name string) (v T) {
	raw, ok := r.item[name]
	if !ok {
		return v
	}
	typed, ok := raw.(T)
	if !ok {
		r.fail(name, "is %s, not %s", kind(raw), kind(v))
		return v
	}
	return typed
}

// fail records an error of an attribute, unless there was one before.
func (r *reader) fail(name, format string, args ...any) {
	if *r.err == nil {
		*r.err = fmt.Errorf("attribute %s%s %s", r.path, name, fmt.Sprintf(format, args...))
	}
}

// kind returns DynamoDB's name of the type of v, such as N.
func kind(v types.AttributeValue) string {
	_, name, _ := strings.Cut(fmt.Sprintf("%T", v), "AttributeValueMember")
	return name
}

func (r *reader) text(name string) string {
	if v := value[*types.AttributeValueMemberS](r, name); v != nil {
		return v.Value
	}
	return ""
}

func (r *reader) number(name string) int64 {
	v := value[*types.AttributeValueMemberN](r, name)
	if v == nil {
		return 0
	}
	n, err := strconv.ParseInt(v.Value, 10, 64)
	if err != nil {
		r.fail(name, "is not a whole number")
	}
	return n
}

// moment reads a time in Unix milliseconds.
func (r *reader) moment(name string) time.Time { return time.UnixMilli(r.number(name)).UTC() }

// at reads a time in Unix seconds.
func (r *reader) at(name string) time.Time {
	n := r.number(name)
	if _, ok := r.item[name]; !ok {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

func (r *reader) binary(name string) []byte {
	if v := value[*types.AttributeValueMemberB](r, name); v != nil {
		return v.Value
	}
	return nil
}

func (r *reader) set(name string) []string {
	v := value[*types.AttributeValueMemberSS](r, name)
	if v == nil {
		return nil
	}
	return slices.Sorted(slices.Values(v.Value))
}

// numbers reads a set of whole numbers, ascending.
func (r *reader) numbers(name string) (list []int) {
	v := value[*types.AttributeValueMemberNS](r, name)
	if v == nil {
		return nil
	}
	for _, text := range v.Value {
		n, err := strconv.Atoi(text)
		if err != nil {
			r.fail(name, "is not of whole numbers")
		}
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

// sub returns a reader of a map in the item.
func (r *reader) sub(name string) *reader {
	inner := &reader{path: r.path + name + ".", err: r.err}
	if v := value[*types.AttributeValueMemberM](r, name); v != nil {
		inner.item = v.Value
	}
	return inner
}

// texts reads a map of strings.
func (r *reader) texts(name string) map[string]string {
	inner := r.sub(name)
	if len(inner.item) == 0 {
		return nil
	}
	m := map[string]string{}
	for key := range inner.item {
		m[key] = inner.text(key)
	}
	return m
}
