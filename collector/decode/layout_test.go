package decode

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What Sets hands on is what a reader of whole lines finds, but for the samples
// that nobody needs, however layouts change from line to line.
func TestLinesOfAKnownLayoutAreReadAsAllOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		needs := func(c *Column) bool { return strings.Contains(c.Name, "need") }
		sets := Sets[bool]{Make: needs, Unneeded: func(need *bool) bool { return !*need }}
		if rapid.Bool().Draw(t, "idle by name") {
			sets.Idle = func(c *Column) (bool, bool) { return false, !needs(c) }
		}
		for range rapid.IntRange(1, 30).Draw(t, "records") {
			value := []byte(strings.Join(rapid.SliceOfN(rapid.Custom(anyLine), 1, 4).Draw(t, "lines"), "\n"))
			key := []byte(rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "key"))
			if got, want := fromSets(&sets, key, value), fromReader(value, needs); !slices.Equal(got, want) {
				t.Fatalf("%q\ngot\n%s\nwant\n%s", value, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if rapid.IntRange(0, 20).Draw(t, "forget") == 0 {
				sets.Forget(1)
			}
		}
	})
}

// anyLine draws a line of a fleet whose lines are alike, mostly.
func anyLine(t *rapid.T) string {
	one := func(what string, of ...string) string { return rapid.SampledFrom(of).Draw(t, what) }
	var b strings.Builder
	b.WriteString(one("key", "cpu,host=a", "cpu,host=a", "cpu,host=b", "cpu", "cpu,z=1,host=a", "cpu,host=a,z=1", `c\ pu,host=a`, `cpu,host=a\`, "cpu,host", "cpu,host=a\xff", "#cpu", ""))
	b.WriteString(one("gap", " ", " ", " ", "  ", ""))
	fields := []string{"need=", "x=", "more_need=", "text="}
	switch rapid.IntRange(0, 5).Draw(t, "order") {
	case 0:
		fields[0], fields[1] = fields[1], fields[0]
	case 1:
		fields = fields[:rapid.IntRange(1, 3).Draw(t, "fields")]
	case 2:
		fields[rapid.IntRange(0, 3).Draw(t, "which")] = one("field", "x=", `n\ eed=`, "ne\xffed=", "=", "y")
	}
	for i, f := range fields {
		if i > 0 {
			b.WriteString(one("comma", ",", ",", ",", ",", ",", ",", ",", ",", " ", ",,"))
		}
		b.WriteString(f)
		if f == "text=" && rapid.IntRange(0, 5).Draw(t, "as text") > 0 {
			b.WriteString(one("text", `"a b"`, `"\","`, `""`))
		} else {
			b.WriteString(rapid.Custom(anyNumber).Draw(t, "value"))
		}
	}
	b.WriteString(one("time", " 1700000000000000000", " 1700000000000000000", " 1", "", " ", "  7 ", " x", " 99999999999999999999", " 7 8"))
	b.WriteString(one("end", "", "", "", "\r", ",", "\\"))
	return b.String()
}

func anyNumber(t *rapid.T) string {
	switch rapid.IntRange(0, 9).Draw(t, "form") {
	case 0:
		return rapid.SampledFrom([]string{"", "-", ".", "-.", "1.2.3", "+1", "1e5", "1e999", "-1e-999", "1e", "7u", "-7u", "99999999999999999999i", "12ii", "0x10", "NaN", "Inf", "tru", "1_0", `"x`, "1:2", "1/2"}).Draw(t, "odd")
	case 1:
		return rapid.SampledFrom([]string{"true", "F", `"a"`, "-9223372036854775808i", "18446744073709551615u", strings.Repeat("9", 308), strings.Repeat("9", 310), "-.5", "5.", "0000001"}).Draw(t, "rare")
	case 2:
		return rapid.StringMatching(`-?[0-9./:]{1,20}`).Draw(t, "digits")
	case 3:
		return fmt.Sprint(rapid.Int64().Draw(t, "int"), "i")
	}
	return fmt.Sprint(rapid.Float64().Draw(t, "float"))
}

// fromReader says what a record holds: errors, points, and the needed values.
func fromReader(value []byte, needs func(*Column) bool) (out []string) {
	var r Reader
	for r.Open(Influx, value); ; {
		p, err := r.Next()
		if p == nil && err == nil {
			return out
		}
		var set *Set
		if err == nil {
			set, err = r.Describe()
		}
		if err != nil {
			out = append(out, err.Error())
			continue
		}
		out = append(out, pointText(p))
		rest, at := 0, 0
		for i := range p.Values {
			if v := &p.Values[i]; v.Sample() {
				if needs(&set.Columns[at]) {
					out = append(out, valueText(v))
				} else {
					rest++
				}
				at++
			}
		}
		out = append(out, fmt.Sprint(rest, " not needed"))
	}
}

// fromSets is the same of what Sets hands on.
func fromSets(s *Sets[bool], key, value []byte) (out []string) {
	for s.Open(&Record{Format: Influx, Key: key, Value: value}); ; {
		p, err := s.Next()
		if p == nil && err == nil {
			return out
		}
		if err == nil {
			var part []string
			if part, err = setText(s, p); err == nil {
				out = append(out, part...)
			}
		}
		if err != nil {
			out = append(out, err.Error())
		}
	}
}

func setText(s *Sets[bool], p *Point) ([]string, error) {
	set, err := s.Find(p)
	if err != nil {
		return nil, err
	}
	out := []string{pointText(p)}
	rest, at := p.Unread, 0
	for i := range p.Values {
		v := &p.Values[i]
		if !v.Sample() {
			continue
		}
		if at, err = s.Column(set, v, at); err != nil {
			return nil, err
		}
		c := &set.Columns[at]
		if c.field != string(v.Field) {
			return nil, fmt.Errorf("%s has the column of %s", v.Field, c.field)
		}
		if c.Is {
			out = append(out, valueText(v))
		} else {
			rest++
		}
		at++
	}
	return append(out, fmt.Sprint(rest, " not needed")), nil
}

func pointText(p *Point) string { return fmt.Sprintf("%q %d %v", p.Key, p.Time, p.Timed) }

func valueText(v *Value) string {
	return fmt.Sprintf("%s=%v (%d, form %d)", v.Field, v.Num, v.Bits, v.Form)
}

// A number that need not be read is what number takes, of the same length.
func TestAPlainNumberIsANumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := []byte(rapid.OneOf(rapid.StringMatching(`-?[0-9]{0,20}\.?[0-9]{0,20}[ ,:/0-9eiu.-]?`), rapid.Custom(anyNumber)).Draw(t, "number"))
		if len(b) == 0 {
			return
		}
		var v Value
		n, ok := number(b, &v)
		if got := plainNumber(b); got > 0 && (!ok || got != n) {
			t.Fatalf("%q: plainNumber takes %d bytes, number %d (%v)", b, got, n, ok)
		} else if ok && got == 0 && n == len(b) && (n <= 18 && v.Form == Int || n < 300 && v.Form == Float && !bytes.ContainsAny(b, "eE")) {
			t.Fatalf("%q is not plain", b)
		}
	})
}

// A line of a known layout costs no memory.
func TestKnownLinesAllocateNothing(t *testing.T) {
	s := Sets[bool]{Make: func(c *Column) bool { return c.Field == "b" }, Unneeded: func(need *bool) bool { return !*need }}
	rec := &Record{Format: Influx, Value: []byte("cpu,host=a a=1.5,b=2.25,c=3i,d=\"x\",e=t 1\ncpu,host=b a=1,b=2 1\n")}
	read := func() (values, unread int) {
		for s.Open(rec); ; {
			p, err := s.Next()
			if err != nil || p == nil {
				return values, unread
			}
			if _, err := s.Find(p); err != nil {
				t.Fatal(err)
			}
			values, unread = values+len(p.Values), unread+p.Unread
		}
	}
	read()
	if values, unread := read(); values != 2 || unread != 4 {
		t.Errorf("%d values are read and %d are not, want 2 and 4", values, unread)
	}
	if n := testing.AllocsPerRun(50, func() { read() }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
