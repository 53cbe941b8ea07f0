package discovery

import (
	"maps"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	f := func(name, content, want string) {
		t.Helper()
		targets, err := Parse(name, []byte(content))
		got := ""
		if err != nil {
			got = err.Error()
		}
		for _, x := range targets {
			got += strings.TrimSuffix(x.key(), "\n") + ";"
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", content, got, want)
		}
	}
	f("a.yml", "- targets: [a:1, 'b:2']\n  labels: {dc: x, n: 5}\n- targets: [c]\n",
		`"a:1"{dc="x",n="5",};"b:2"{dc="x",n="5",};"c"{};`)
	f("a.json", `[{"targets":["a:1"],"labels":{"__probe":"tcp"}}]`, `"a:1"{__probe="tcp",};`)
	f("a.yml", "[]", "")
	f("a.yml", "# - targets: [a]\n", "")
	f("a.json", " [ ] ", "")
	f("a.yml", "  \n", "a.yml:1:1: the file is empty, which may be a write under way; write [] for no targets")
	f("a.json", "", "a.json:1:1: the file is empty, which may be a write under way; write [] for no targets")
	f("a.yml", "- targets: [a]\n  label: {x: y}\n", `a.yml:2:3: [0].label: unknown field; did you mean labels?`)
	f("a.yml", "- targets: [a]\n- targets: [b]\n  labels: {\"9x\": y}\n",
		`a.yml:2:3: labels: not a label name (letters, digits and _, not first a digit), got "9x"`)
	f("a.yml", "- targets: ['']\n", `a.yml:1:3: targets: an address is empty`)
	f("a.yml", "targets: [a]\n", `a.yml:1:1: want a list, got a mapping`)
	f("a.yml", "- targets: a\n", `a.yml:1:12: [0].targets: want a list, got "a"`)
	f("a.json", "[\n {\"targets\": [\"a\"]},\n {\"targets\": [1]}\n]",
		`a.json:3:2: json: cannot unmarshal number into Go struct field group.targets of type string`)
	f("a.json", "[{\"targets\": [\"a\"],}]", `a.json:1:20: invalid character '}' looking for beginning of object key string`)
	f("a.json", "[\n{\"targets\": [\"a\"]},\n{\"targets\": [\"\"]}]", `a.json:3:1: targets: an address is empty`)
	f("a.json", `{"targets": []}`, `a.json:1:2: want a list of {targets, labels}, got {`)
	f("a.json", `[] x`, `a.json:1:4: something follows the list`)
	f("a.json", `[{"targets":["a"]}`, `a.json:1:19: unexpected EOF`)
}

func TestCheckPattern(t *testing.T) {
	f := func(p string, ok bool) {
		t.Helper()
		if err := CheckPattern(p); (err == nil) != ok {
			t.Errorf("%s: got %v", p, err)
		}
	}
	f("/x/a.yml", true)
	f("targets/*.json", true)
	f("a[0-9].YAML", true)
	f("a.txt", false)
	f("*/a.yml", false)
	f("a[.yml", false)
}

func FuzzParse(f *testing.F) {
	f.Add("a.yml", []byte("- targets: [a:1]\n  labels: {x: y}\n"))
	f.Add("a.json", []byte(`[{"targets":["a:1"],"labels":{"x":"y"}}]`))
	f.Add("a.yml", []byte("- &a {targets: [b]}\n- *a\n- <<: *a\n"))
	f.Add("a.json", []byte(`[{"targets":null}, null]`))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		targets, err := Parse(name, content)
		if err != nil {
			if len(targets) > 0 {
				t.Fatal("targets beside an error")
			}
			if !strings.HasPrefix(err.Error(), name+":") {
				t.Fatalf("no position: %v", err)
			}
		}
		for _, x := range targets {
			if x.Address == "" {
				t.Fatal("empty address")
			}
			for n := range maps.Keys(x.Labels) {
				if !ValidLabelName(n) {
					t.Fatalf("label %q", n)
				}
			}
		}
	})
}
