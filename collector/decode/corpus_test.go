package decode

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
)

const corpusFile = "../../../shared/data/influx-line-protocol/corpus.json"

// corpus is the cross-implementation corpus of line protocol.
type corpus struct {
	Decode map[string]struct {
		Input struct {
			Text        raw
			DefaultTime int64
			Precision   string
		}
		Output struct {
			Error  string
			Result []corpusPoint
		}
	}
	Encode map[string]struct {
		Input  struct{ Point corpusPoint }
		Output struct {
			Error  string
			Result raw
		}
	}
}

// precisions are the units of the corpus' times. Producers to Kafka write
// nanoseconds, as the reader takes them.
var precisions = map[string]int64{"1ns": 1, "1µs": 1000, "1ms": 1_000_000, "1s": 1_000_000_000}

type corpusPoint struct {
	Time   int64
	Name   raw
	Tags   []struct{ Key, Value raw }
	Fields []struct {
		Key   raw
		Value map[string]json.RawMessage
	}
}

// raw is text, or bytes that are none.
type raw string

func (r *raw) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*r = raw(s)
		return nil
	}
	var bin struct{ Binary string }
	if err := json.Unmarshal(b, &bin); err != nil {
		return err
	}
	data, err := base64.StdEncoding.DecodeString(bin.Binary)
	*r = raw(data)
	return err
}

// readLines reads a whole record: its points as the corpus writes them, and the
// first error.
func readLines(text string, defaultTime, unit int64) (points []corpusPoint, values [][]Value, err error) {
	var r Reader
	r.Open(Influx, []byte(text))
	for {
		p, e := r.Next()
		if e != nil {
			return points, values, e
		}
		if p == nil {
			return points, values, nil
		}
		name, tags, e := splitKey(string(p.Key), nil)
		if _, why := r.Describe(); e != nil || why != nil {
			e = errors.Join(e, why)
			return points, values, e
		}
		cp := corpusPoint{Time: p.Time * unit, Name: raw(name)}
		if !p.Timed {
			cp.Time = defaultTime - defaultTime%unit
		}
		for _, t := range tags {
			cp.Tags = append(cp.Tags, struct{ Key, Value raw }{raw(t.key), raw(t.value)})
		}
		points, values = append(points, cp), append(values, slices.Clone(p.Values))
	}
}

func TestLineProtocolCorpus(t *testing.T) {
	data, err := os.ReadFile(corpusFile)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("no recordings: ../shared/data/influx-line-protocol is absent")
	} else if err != nil {
		t.Fatal(err)
	}
	var c corpus
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	valid, invalid := 0, 0
	for key, tc := range c.Decode {
		unit, ok := precisions[tc.Input.Precision]
		if !ok {
			t.Fatalf("%s: precision %q is not known", key, tc.Input.Precision)
		}
		text := string(tc.Input.Text)
		points, values, err := readLines(text, tc.Input.DefaultTime, unit)
		if tc.Output.Error != "" {
			invalid++
			if err == nil {
				t.Errorf("%s: %q is taken, want it refused: %s", key, text, tc.Output.Error)
			}
			continue
		}
		valid++
		if err != nil {
			t.Errorf("%s: %q is refused: %v", key, text, err)
			continue
		}
		if len(points) != len(tc.Output.Result) {
			t.Errorf("%s: %q: %d points, want %d", key, text, len(points), len(tc.Output.Result))
			continue
		}
		for i, want := range tc.Output.Result {
			if why := differs(&points[i], values[i], &want); why != "" {
				t.Errorf("%s: %q, point %d: %s", key, text, i, why)
			}
		}
	}
	encoded := wantEncoded(t, &c)
	t.Logf("%d valid, %d invalid, %d written by other implementations", valid, invalid, encoded)
	if valid != 192 || invalid != 3105 || encoded != 60 {
		t.Error("the corpus is not the one that is meant")
	}
}

// wantEncoded reads what other implementations wrote of a point, and returns how
// many of them there are.
func wantEncoded(t *testing.T, c *corpus) (n int) {
	t.Helper()
	for key, tc := range c.Encode {
		if tc.Output.Error != "" {
			continue // a point that has no lines
		}
		n++
		points, values, err := readLines(string(tc.Output.Result), 0, 1)
		if err != nil || len(points) != 1 {
			t.Errorf("%s: %q: %d points, %v", key, tc.Output.Result, len(points), err)
		} else if why := differs(&points[0], values[0], &tc.Input.Point); why != "" {
			t.Errorf("%s: %q: %s", key, tc.Output.Result, why)
		}
	}
	return n
}

// differs returns how a point differs from the corpus' word, "" if it does not.
func differs(got *corpusPoint, values []Value, want *corpusPoint) string {
	if got.Time != want.Time || got.Name != want.Name {
		return "time or measurement differ: " + string(got.Name)
	}
	slices.SortFunc(want.Tags, func(a, b struct{ Key, Value raw }) int { return strings.Compare(string(a.Key), string(b.Key)) })
	if !slices.Equal(got.Tags, want.Tags) {
		return "tags differ"
	}
	if len(values) != len(want.Fields) {
		return "fields differ"
	}
	for i, f := range want.Fields {
		v := &values[i]
		if raw(unescape(string(v.Field), ",= ")) != f.Key {
			return "the name of a field differs"
		}
		for kind, text := range f.Value {
			if !sameValue(v, kind, text) {
				return "value " + kind + " " + string(text) + " differs"
			}
		}
	}
	return ""
}

func sameValue(v *Value, kind string, text json.RawMessage) bool {
	word := strings.Trim(string(text), `"`)
	switch kind {
	case "int":
		var want int64
		err := json.Unmarshal([]byte(word), &want)
		return err == nil && v.Form == Int && int64(v.Bits) == want
	case "uint":
		var want uint64
		err := json.Unmarshal([]byte(word), &want)
		return err == nil && v.Form == Uint && v.Bits == want
	case "float":
		var want float64
		err := json.Unmarshal([]byte(word), &want)
		return err == nil && v.Form == Float && v.Num == want // JSON's zero has no sign
	case "bool":
		return v.Form == Bool && (v.Num == 1) == (word == "true")
	case "string", "binary":
		var want raw
		err := json.Unmarshal(text, &want)
		return err == nil && v.Form == Text && v.String() == string(want)
	}
	return false
}
