package decode

import (
	"testing"
	"time"

	protocol "github.com/influxdata/line-protocol/v2/lineprotocol"
	"pgregory.net/rapid"
)

func TestLinesBecomeSeries(t *testing.T) {
	var r Reader
	f := func(text string, want ...string) {
		t.Helper()
		wantLines(t, flat(&r, Influx, []byte(text)), want...)
	}
	f("cpu,host=web-1,cpu=cpu0 usage_idle=98.25,usage_user=1i 1790000040000000000\n",
		`cpu_usage_idle{cpu="cpu0",host="web-1"} untyped 1790000040000: 98.25`,
		`cpu_usage_user{cpu="cpu0",host="web-1"} untyped 1790000040000: 1`)
	f("up value=t\n# a comment\n\r\n  up value=F 1000000\r\n", "up untyped untimed: 1", "up untyped 1: 0")
	f(`disk,path=/a\ b,odd\,key=x\=y in\ use=7u,what="text, no \"sample\"" 5000000`,
		`disk_in_use{odd_key="x=y",path="/a b"} untyped 5: 7`)
	f("prometheus,le=0.5,url=http://x http_bucket=3 7000000", `http_bucket{le="0.5",url="http://x"} untyped 7: 3`)
	f("m,a.b=1,a_b=2 v=1 1000000", `m_v{a_b="1;2"} untyped 1: 1`)
	f("m v=18446744073709551615u,w=-9223372036854775808i 0", "m_v untyped 0: 18446744073709551615", "m_w untyped 0: -9223372036854775808")
	f("", nil...)
	f("\n\n", nil...)
}

func TestABadLineCostsItselfAlone(t *testing.T) {
	var r Reader
	wantLines(t, flat(&r, Influx, []byte("m v=1 1000000\nm,host v=2 2000000\nm v=x\nm v=18446744073709551616u\nm v=4 4000000 5\nm v=5 5000000")),
		"m_v untyped 1: 1",
		"error: line 2: want NAME=VALUE for a tag",
		"error: line 3, byte 5: a field's value is no number, true or false, or text in quotes",
		"error: line 4, byte 5: a field's value is no number, true or false, or text in quotes",
		"error: line 5, byte 14: something follows the timestamp",
		"m_v untyped 5: 5")
}

// What another implementation writes is read back bit by bit.
func TestLinesAreReadAsTheyWereMeant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var enc protocol.Encoder
		enc.SetPrecision(protocol.Nanosecond)
		name := rapid.StringMatching(`[a-z ,=\\]{0,5}[a-z]`)
		enc.StartLine(name.Draw(t, "measurement"))
		enc.AddTag("host", name.Draw(t, "host"))
		var want []Value
		for range rapid.IntRange(1, 6).Draw(t, "fields") {
			field := name.Draw(t, "field")
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				v := rapid.Float64().Draw(t, "float")
				enc.AddField(field, protocol.MustNewValue(v))
				want = append(want, Value{Form: Float, Num: v})
			case 1:
				v := rapid.Int64().Draw(t, "int")
				enc.AddField(field, protocol.MustNewValue(v))
				want = append(want, Value{Form: Int, Bits: uint64(v)})
			case 2:
				v := rapid.Uint64().Draw(t, "uint")
				enc.AddField(field, protocol.MustNewValue(v))
				want = append(want, Value{Form: Uint, Bits: v})
			case 3:
				v := rapid.StringMatching(`[a-z "\\,=]{0,6}`).Draw(t, "text")
				enc.AddField(field, protocol.MustNewValue(v))
				want = append(want, Value{Form: Text, Text: []byte(v)})
			}
		}
		enc.EndLine(rapidTime(t))
		if enc.Err() != nil {
			t.Skip("the other implementation does not write this")
		}
		var r Reader
		r.Open(Influx, enc.Bytes())
		p, err := r.Next()
		if err != nil || p == nil || len(p.Values) != len(want) {
			t.Fatalf("%q: %v, %v", enc.Bytes(), p, err)
		}
		if _, err := r.Describe(); err != nil {
			t.Fatalf("%q: %v", enc.Bytes(), err)
		}
		for i, w := range want {
			v := &p.Values[i]
			same := v.Form == w.Form && (v.Form != Float || v.Num == w.Num) && (v.Form == Float || v.Bits == w.Bits)
			if !same || v.Form == Text && v.String() != string(w.Text) {
				t.Fatalf("%q: value %d is %+v, want %+v", enc.Bytes(), i, v, w)
			}
		}
	})
}

func FuzzInflux(f *testing.F) {
	for _, s := range []string{"cpu,host=a usage=1.5,n=2i,u=3u,b=t,s=\"x\" 1000000\n", "a\\ b,c\\,d=e\\=f g=1e-300\r\n#c\n h=.5", "m v=-1i -5"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) { readsSafely(t, Influx, b) })
}

// readsSafely reads whatever the bytes are, twice with the same answers.
func readsSafely(t *testing.T, format Format, b []byte) {
	var r Reader
	first, second := flat(&r, format, b), flat(&r, format, b)
	wantLines(t, second, first...)
}

func rapidTime(t *rapid.T) time.Time {
	return time.Unix(0, rapid.Int64().Draw(t, "time"))
}
