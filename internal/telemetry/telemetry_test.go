package telemetry

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func anyMap() *rapid.Generator[map[string]string] {
	return rapid.MapOfN(rapid.StringN(1, 6, 12), rapid.StringN(0, 6, 12), 0, 6)
}

func TestLabelsAreCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyMap().Draw(t, "labels")
		ls := NewLabels(m)
		maps.DeleteFunc(m, func(_, v string) bool { return v == "" })
		if !maps.Equal(ls.Map(), m) {
			t.Fatalf("%v became %v", m, ls)
		}
		if !slices.IsSortedFunc(ls, func(a, b Label) int {
			if a.Name < b.Name {
				return -1
			}
			return 1
		}) {
			t.Fatalf("%v is not sorted", ls)
		}
		for _, l := range ls {
			if ls.Get(l.Name) != l.Value {
				t.Fatalf("Get(%q) = %q, want %q", l.Name, ls.Get(l.Name), l.Value)
			}
		}
		if NewLabels(m).Hash() != ls.Hash() {
			t.Fatal("equal labels, other hash")
		}
	})
}

func TestLabelsWith(t *testing.T) {
	host := Labels{{"host", "a"}, {"zone", "z1"}}
	f := func(over Labels, want string) {
		t.Helper()
		if got := host.With(over).String(); got != want {
			t.Errorf("with %v: %s, want %s", over, got, want)
		}
	}
	f(nil, `{host="a",zone="z1"}`)
	f(Labels{{"zone", "z2"}}, `{host="a",zone="z2"}`)
	f(Labels{{"rack", `7"\` + "\n"}}, `{host="a",rack="7\"\\\n",zone="z1"}`)
	f(Labels{{"zone", ""}}, `{host="a"}`)
	if host.Get("rack") != "" {
		t.Error("absent label has a value")
	}
}

// Group identities and fingerprints are stored and compared across releases:
// these figures must never change.
func TestHashesAreStable(t *testing.T) {
	if got, want := (Labels{{"region", "eu-west"}, {"target", "10.0.0.7:443"}}).Hash(), uint64(0xf9cbdc68043f8595); got != want {
		t.Errorf("hash of labels = %#x, want %#x", got, want)
	}
	s := NewSchema([]Series{{Name: "up", Kind: Gauge}, {Name: "n_total", Labels: Labels{{"a", "b"}}, Kind: Counter, Fresh: true}})
	if got, want := s.Fingerprint, uint64(0x3259bac3ddbfd58d); got != want {
		t.Errorf("fingerprint = %#x, want %#x", got, want)
	}
}

func TestFingerprintTellsSeriesApart(t *testing.T) {
	base := func() []Series {
		return []Series{{Name: "a", Labels: Labels{{"x", "1"}}, Kind: Counter}, {Name: "b", Kind: Gauge}}
	}
	want := NewSchema(base()).Fingerprint
	if got := NewSchema(base()).Fingerprint; got != want {
		t.Errorf("equal series: %x and %x", got, want)
	}
	f := func(what string, change func(s []Series)) {
		t.Helper()
		s := base()
		change(s)
		if NewSchema(s).Fingerprint == want {
			t.Errorf("%s does not change the fingerprint", what)
		}
	}
	f("name", func(s []Series) { s[0].Name = "c" })
	f("label", func(s []Series) { s[0].Labels = Labels{{"x", "2"}} })
	f("kind", func(s []Series) { s[0].Kind = Gauge })
	f("fresh", func(s []Series) { s[0].Fresh = true })
	f("order", func(s []Series) { s[0], s[1] = s[1], s[0] })
	f("border of name and label", func(s []Series) { s[0].Name, s[0].Labels = "ax", Labels{{"1", ""}} })
}

func TestSchemaCountsHistograms(t *testing.T) {
	if n := NewSchema([]Series{{Kind: Gauge}, {Kind: Histogram}, {Kind: Histogram}}).Histograms(); n != 2 {
		t.Errorf("%d histograms, want 2", n)
	}
}

func TestAbsent(t *testing.T) {
	b := Block{Values: make([]float64, 130)}
	for _, i := range []int{0, 63, 64, 129} {
		b.SetAbsent(i)
	}
	for i := range b.Values {
		if want := i == 0 || i == 63 || i == 64 || i == 129; b.IsAbsent(i) != want {
			t.Errorf("value %d absent: %v", i, b.IsAbsent(i))
		}
	}
	if b.Samples() != 126 {
		t.Errorf("%d samples, want 126", b.Samples())
	}
}

func TestKindNames(t *testing.T) {
	f := func(k Kind, want string) {
		t.Helper()
		if k.String() != want {
			t.Errorf("kind %d is %q, want %q", k, k, want)
		}
	}
	f(Gauge, "gauge")
	f(Counter, "counter")
	f(Histogram, "histogram")
	f(0, "invalid")
}

func FuzzNames(f *testing.F) {
	f.Add("cpu", "usage_idle")
	f.Add("9lives", "a b-c.d")
	f.Add("", "value")
	f.Add("ü", "\xff")
	f.Fuzz(func(t *testing.T, measurement, field string) {
		for _, n := range []string{MetricName(measurement, field), LabelName(field)} {
			for i := range len(n) {
				c := n[i]
				if c != '_' && c != ':' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
					t.Fatalf("name %q of %q and %q", n, measurement, field)
				}
			}
			if n != "" && n[0] >= '0' && n[0] <= '9' {
				t.Fatalf("name %q begins with a digit", n)
			}
		}
	})
}
