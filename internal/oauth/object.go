package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// An object is a decoded JSON object. Numbers are of type json.Number.
type object map[string]any

// maxDepth is how deep a provider's JSON may nest.
const maxDepth = 16

// A conflict is the value of a member that comes twice with two values: nobody
// can say which of them counts. It reads as no text, no number and no list.
type conflict struct{}

// byteOrderMark precedes the texts of some Windows software, against RFC 8259
// section 8.1.
var byteOrderMark = []byte("\xef\xbb\xbf")

// parseObject reads one JSON object and nothing after it.
func parseObject(b []byte) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(b, byteOrderMark)))
	dec.UseNumber()
	v, err := parseValue(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	d, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("the JSON is not an object")
	}
	return d, nil
}

func parseValue(dec *json.Decoder, depth int) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, errors.New("the JSON is torn or malformed")
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth == maxDepth {
		return nil, errors.New("the JSON is nested too deep")
	}
	if delim == '[' {
		return parseArray(dec, depth)
	}
	return parseMembers(dec, depth)
}

func parseArray(dec *json.Decoder, depth int) (any, error) {
	list := []any{}
	for dec.More() {
		v, err := parseValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, closing(dec)
}

func parseMembers(dec *json.Decoder, depth int) (any, error) {
	d := map[string]any{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, errors.New("the JSON is torn or malformed")
		}
		v, err := parseValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		key, _ := name.(string)
		if old, twice := d[key]; twice && !reflect.DeepEqual(old, v) {
			v = conflict{}
		}
		d[key] = v
	}
	return d, closing(dec)
}

func closing(dec *json.Decoder) error {
	if _, err := dec.Token(); err != nil {
		return errors.New("the JSON is torn or malformed")
	}
	return nil
}

// at returns what stands at a path of member names joined by dots, or nil.
func (d object) at(path string) any {
	var v any = map[string]any(d)
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// text returns the string or number at path as text, "" for anything else.
func (d object) text(path string) string {
	switch v := d.at(path).(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// seconds reads a number of seconds, however it is written. 0 stands for
// anything that is no positive number; more than a century counts as one.
func seconds(v any) time.Duration {
	var s string
	switch v := v.(type) {
	case json.Number:
		s = v.String()
	case string:
		s = strings.TrimSpace(v)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 1) || math.IsNaN(f) || f <= 0 {
		return 0
	}
	const century = 100 * 365 * 24 * time.Hour
	return time.Duration(min(math.Floor(f), century.Seconds())) * time.Second
}
