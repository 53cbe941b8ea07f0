package yamlconf

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

type limits struct {
	Wait   Duration          `yaml:"wait"`
	Std    time.Duration     `yaml:"std"`
	Count  int8              `yaml:"count"`
	Size   uint16            `yaml:"size"`
	Share  float64           `yaml:"share"`
	On     bool              `yaml:"on"`
	Labels map[string]string `yaml:"labels"`
	Items  []item            `yaml:"items"`
	Ptr    *item             `yaml:"ptr"`
	Any    any               `yaml:"any"`
	Later  Raw               `yaml:"later"`
	Base   `yaml:",inline"`
	//lint:ignore U1000 it must not be settable from YAML
	hidden int
}

type Base struct {
	Name string `yaml:"name"`
}

type item struct {
	Target string `yaml:"target"`
	When   time.Time
}

const whole = `
name: &n north
wait: 1m30s
std: 1w
count: -3
size: 65535
share: 0.25
on: true
labels: {port: 8080, name: *n, zero: 0.10}
items:
  - target: 0.9990
    when: 2026-11-02T03:04:05Z
  - &second
    target: "b"
  - <<: *second
ptr: {target: c}
any: {a: [1, x, true, null, 2.5]}
later: {target: d}
`

func TestDecodeReadsEveryKind(t *testing.T) {
	var got limits
	if err := LoadBytes("a.yaml", []byte(whole), &got); err != nil {
		t.Fatal(err)
	}
	var later item
	if err := got.Later.Decode(&later); err != nil || later.Target != "d" {
		t.Errorf("later part: %+v, %v", later, err)
	}
	got.Later = Raw{}
	want := limits{Wait: Duration(90 * time.Second), Std: 7 * 24 * time.Hour, Count: -3, Size: 65535, Share: 0.25, On: true,
		Labels: map[string]string{"port": "8080", "name": "north", "zero": "0.10"},
		Items:  []item{{Target: "0.9990", When: time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC)}, {Target: "b"}, {Target: "b"}},
		Ptr:    &item{Target: "c"}, Any: map[string]any{"a": []any{uint64(1), "x", true, nil, 2.5}}, Base: Base{"north"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDefaultsStayWhereNothingIsSaid(t *testing.T) {
	got := limits{Wait: Duration(time.Second), Count: 4}
	for _, text := range []string{"", "# nothing\n", "wait:\n", "---\n...\n"} {
		if err := LoadBytes("a.yaml", []byte(text), &got); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	}
	if got.Wait != Duration(time.Second) || got.Count != 4 {
		t.Errorf("defaults became %+v", got)
	}
}

func TestMistakesAreNamedAtTheirPosition(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		var into limits
		err := LoadBytes("a.yaml", []byte(text), &into)
		if err == nil {
			t.Fatalf("%q is accepted", text)
		}
		if got := err.Error(); got != strings.Join(want, "\n") {
			t.Errorf("%q:\n got %s\nwant %s", text, got, strings.Join(want, "\n"))
		}
	}
	f("wiat: 5s\n", `a.yaml:1:1: wiat: unknown field; did you mean wait?`)
	f("count: 300\nsize: -1\n\nitems:\n- tarket: x\n- 5\n",
		`a.yaml:1:8: count: want a whole number that fits int8, got 300`,
		`a.yaml:2:7: size: want a whole number from 0 that fits uint16, got -1`,
		`a.yaml:5:3: items[0].tarket: unknown field; did you mean target?`,
		`a.yaml:6:3: items[1]: want a mapping of fields, got 5`)
	f("wait: 5 parsecs\n", `a.yaml:1:7: wait: unknown unit " parsecs" of time; use w, d, h, m, s or ms, got "5 parsecs"`)
	f("wait: [5s]\n", `a.yaml:1:7: wait: want a single value, got a list`)
	f("on: \"yes\"\n", `a.yaml:1:5: on: want true or false, got "yes"`)
	f("share: much\n", `a.yaml:1:8: share: want a number, got "much"`)
	f("labels: {a.b: {c: d}}\n", `a.yaml:1:15: labels["a.b"]: want text, got a mapping`)
	f("items: {a: 1}\n", `a.yaml:1:8: items: want a list, got a mapping`)
	f("- a\n", `a.yaml:1:1: want a mapping of fields, got a list`)
	f("name: *nobody\n", `a.yaml:1:7: name: refers to an anchor that does not exist, got nothing`)
	f("name: a\nname: b\n", `a.yaml:2:1: mapping key "name" already defined at [1:1]`)
	f("name: a\n---\nname: b\n", `a.yaml:3:1: want one document, but a second begins here`)
	f("name: \xff\n", `a.yaml:1:7: is not UTF-8`)
	f("a: {b\n", `a.yaml:1:5: could not find flow map content`)
	f("zzz: 1\n", `a.yaml:1:1: zzz: unknown field; known are wait, std, count, size, share, on, labels, items, ptr, any, later, name`)
}

func TestErrorfFindsTheField(t *testing.T) {
	docs, err := Parse("s.yaml", []byte("kind: A\n---\n- spec:\n    objectives:\n    - target: 2\n      a.b: 1\n- x\n"))
	if err != nil || len(docs) != 2 {
		t.Fatal(docs, err)
	}
	first := docs[1].Items()[0]
	f := func(got Error, want string) {
		t.Helper()
		if got.Error() != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(first.Errorf("spec.objectives[0].target", "2", "want at most %d", 1), `s.yaml:5:15: [0].spec.objectives[0].target: want at most 1, got "2"`)
	f(first.Errorf(`spec.objectives[0]["a.b"]`, nil, "no"), `s.yaml:6:12: [0].spec.objectives[0]["a.b"]: no`)
	f(first.Errorf("spec.service", nil, "is required"), `s.yaml:3:3: [0].spec.service: is required`)
	f(docs[0].Errorf("", 3, "no"), `s.yaml:1:1: no, got 3`)
	if docs[0].Text("kind") != "A" || docs[0].Text("nope") != "" || !first.Has("spec.objectives[0].target") || first.Has("spec.x") {
		t.Error("Text and Has do not see the document")
	}
	if docs[0].Line("kind") != 1 || first.File() != "s.yaml" {
		t.Error("Line or File is wrong")
	}
}

func TestErrorsSortAndKeepTheirType(t *testing.T) {
	es := Errors{{File: "b", Reason: "z"}, {File: "a", Line: 2, Col: 1, Reason: "y"}, {File: "a", Line: 1, Col: 9, Reason: "x"}, {File: "b", Reason: "z"}}
	if got, want := es.Err().Error(), "a:1:9: x\na:2:1: y\nb: z"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var none Errors
	if none.Err() != nil {
		t.Error("no mistakes are an error")
	}
	all := none.Append("f", es[0]).Append("f", Errors{es[1]}).Append("f", errors.New("disk")).Append("f", nil)
	if len(all) != 3 || all[2].Error() != "f: disk" {
		t.Errorf("append gives %v", all)
	}
}

type checked struct {
	Port int `yaml:"port"`
}

func (c *checked) Check(doc *Doc) Errors {
	if c.Port > 0 {
		return nil
	}
	return Errors{doc.Errorf("port", c.Port, "want a port")}
}

func TestLoadAsksTheConfigurationItself(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	f := func(text, want string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := Load(file, &checked{}); err != nil {
			got = strings.ReplaceAll(err.Error(), file, "c.yaml")
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	f("port: 80\n", "")
	f("port: 0\n", "c.yaml:1:7: port: want a port, got 0")
	f("", "c.yaml:1:1: port: want a port, got 0")
	if err := Load(file+".gone", &checked{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gives %v", err)
	}
}

func TestDurationsReadAndPrint(t *testing.T) {
	f := func(text, printed string) {
		t.Helper()
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if d.String() != printed {
			t.Errorf("%q prints %q, want %q", text, d, printed)
		}
		var again Duration
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Errorf("%q reads back as %v (%v)", d, again, err)
		}
	}
	f("5s", "5s")
	f("1m30s", "1m30s")
	f("28d", "28d")
	f("1w", "7d")
	f("1h", "1h")
	f("250ms", "250ms")
	f("0", "0s")
	f("1.5h", "1h30m")
	f("-3s", "-3s")
	f("90µs", "90us")
	for _, bad := range []string{"", "5", "s", "5x", "1M", "99999999w", "1..5s", "-", "--5s"} {
		if d, err := ParseDuration(bad); err == nil {
			t.Errorf("%q is accepted as %v", bad, d)
		}
	}
}

func TestAliasBombIsRefused(t *testing.T) {
	var b strings.Builder
	b.WriteString("any:\n  a0: &a0 [x]\n")
	for i := 1; i < 40; i++ {
		p, n := "a"+itoa(i-1), "a"+itoa(i)
		b.WriteString("  " + n + ": &" + n + " [*" + p + ", *" + p + ", *" + p + "]\n")
	}
	var into limits
	err := LoadBytes("bomb.yaml", []byte(b.String()), &into)
	if err == nil || !strings.Contains(err.Error(), "aliases expand to too much") {
		t.Errorf("got %.200v", err)
	}
}

func itoa(i int) string { return string(rune('a'+i/10)) + string(rune('a'+i%10)) }

func FuzzDecode(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("a: &a {<<: *a}\n"))
	f.Add([]byte("- - - a: b\n  ? c\n  : d\n---\n!!str x\n"))
	f.Add([]byte(`{"name": "x", "items": [{"target": 1}]}`))
	f.Add([]byte("name: |\n  text\n  more\nwait: >-\n  5s\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := Parse("f.yaml", data)
		if err != nil && err.Error() == "" {
			t.Fatal("an error without words")
		}
		for _, d := range docs {
			for _, one := range d.Items() {
				var into limits
				_ = one.Decode(&into)
				_ = one.Errorf("items[0].target", into.Name, "x").Error()
				_ = one.Text("name")
			}
		}
	})
}

func TestPlacePutsAValidationsErrorsWhereTheyBelong(t *testing.T) {
	f := func(prefix string, err error, want string) {
		t.Helper()
		doc, perr := One("a.yaml", []byte("ruler:\n  dir: x\n  select: [a, b]\nother: 1\n"))
		if perr != nil {
			t.Fatal(perr)
		}
		got := ""
		if errs := doc.Place(prefix, err); len(errs) > 0 {
			got = errs.Error()
		}
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	f("", nil, "")
	f("", errors.New("ruler.dir: is a file"), "a.yaml:2:8: ruler.dir: is a file")
	f("ruler", errors.Join(errors.New("select[1]: no selector, got b"), errors.New("dir: is a file")),
		"a.yaml:2:8: ruler.dir: is a file\na.yaml:3:15: ruler.select[1]: no selector, got b")
	f("ruler", errors.New("the host has no name: set one"), "a.yaml:2:3: ruler: the host has no name: set one")
	f("ruler", errors.New("retention: is missing"), "a.yaml:1:1: ruler.retention: is missing")
}
