package decode

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A set that is described by what it has in common with others is what a reader
// says of its line alone.
func TestKinAreDescribedAsEachAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sets := Sets[Column]{Make: func(c *Column) Column { return *c }}
		idle := func(c *Column) bool { return strings.HasPrefix(c.Name, "mem") || strings.HasSuffix(c.Name, "idle") }
		if rapid.Bool().Draw(t, "idle by name") {
			sets.Idle = func(c *Column) (Column, bool) { return Column{Field: c.Field}, idle(c) }
		}
		for range rapid.IntRange(1, 20).Draw(t, "lines") {
			line := []byte(rapid.Custom(anyKey).Draw(t, "key") + rapid.SampledFrom([]string{" used=1,idle=2i,note=\"x\"", " idle=3", ` i\ dle=3,idle=4`, ` used="x",idle=1`, " x\xff=1"}).Draw(t, "fields"))
			got, gotErr := kinOfLine(&sets, line)
			want, wantErr := describedAlone(line)
			if sets.Idle != nil {
				for i := range want.Columns {
					if idle(&want.Columns[i]) {
						want.Columns[i] = Column{Field: want.Columns[i].Field}
					}
				}
			}
			same := func(a, b Column) bool {
				return a.Field == b.Field && a.Name == b.Name && a.Kind == b.Kind && slices.Equal(a.Labels, b.Labels)
			}
			if gotErr != wantErr || wantErr == "" && !slices.EqualFunc(got, want.Columns, same) {
				t.Fatalf("%q\ngot  %v %s\nwant %v %s", line, got, gotErr, want.Columns, wantErr)
			}
		}
	})
}

// anyKey draws a measurement and tags, in any order, some of which become one
// label and some of which cannot be read.
func anyKey(t *rapid.T) string {
	tags := rapid.SliceOfN(rapid.SampledFrom([]string{"host=a", "host=b", "region=eu", "z.a=1", "z_a=2", "z-a=3", `p=a\,b`, "é=1", "_=x", "9=y", "host", "a==1", "q=\x01"}), 0, 5).Draw(t, "tags")
	return strings.Join(append([]string{rapid.SampledFrom([]string{"mem", "cpu", `c\ pu`, "prometheus", ""}).Draw(t, "measurement")}, tags...), ",")
}

func kinOfLine(s *Sets[Column], line []byte) (columns []Column, why string) {
	s.Open(&Record{Format: Influx, Value: line})
	p, err := s.Next()
	if err != nil {
		return nil, err.Error()
	}
	set, err := s.Find(p)
	if err != nil {
		return nil, err.Error()
	}
	at := 0
	for i := range p.Values {
		if v := &p.Values[i]; v.Sample() {
			if at, err = s.Column(set, v, at); err != nil {
				return nil, err.Error()
			}
			columns = append(columns, set.Columns[at].Is)
			at++
		}
	}
	if set.Region != labelOf(line, "region") || set.hostless != (labelOf(line, "host") == "") {
		return nil, "its region or host is another"
	}
	return columns, ""
}

func describedAlone(line []byte) (*Set, string) {
	var r Reader
	r.Open(Influx, line)
	if _, err := r.Next(); err != nil {
		return &Set{}, err.Error()
	}
	set, err := r.Describe()
	if err != nil {
		return &Set{}, err.Error()
	}
	return set, ""
}

func labelOf(line []byte, name string) string {
	set, _ := describedAlone(line)
	return set.Labels.Get(name)
}
