package rows

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const header = "apiVersion: nines/v1\nkind: Mapping\nspec:\n"

func mapping(t testing.TB, spec string) *Mapping {
	t.Helper()
	m, err := Parse("m.yaml", []byte(header+spec))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const requestSpec = `  time: {column: at, format: unix}
  constants: {region: r1}
  requests:
    series: api
    outcome: {column: code, good: ["2??", "3??"], bad: ["5??"], ignore: ["4??", canceled]}
    latency: {column: ms, unit: ms}
    labels: {route: path}
`

const valueSpec = `  time: {column: at, format: unix_ms}
  values:
    - {column: temp, series: temperature, labels: {host: h}}
    - {column: requests, series: requests_total, kind: counter}
    - {column: state, series: up, map: {up: 1, down: 0}, hold: {every: 1m, for: 1h}}
`

// read reads files by a mapping; each file is its name and content.
func read(t testing.TB, m *Mapping, files ...[2]string) (*Files, []string) {
	t.Helper()
	var names []string
	for _, f := range files {
		name := filepath.Join(t.TempDir(), f[0])
		if err := os.WriteFile(name, []byte(f[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	f, err := Open(Options{Mapping: m, Files: names})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, drain(t, f)
}

func drain(t testing.TB, f *Files) (points []string) {
	t.Helper()
	last := int64(math.MinInt64)
	for {
		p, ok, err := f.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return points
		}
		if p.Time < last {
			t.Errorf("%d comes after %d", p.Time, last)
		}
		last = p.Time
		s := &f.Table.Series[p.Series]
		points = append(points, fmt.Sprintf("%d %s%s %g", p.Time, s.Name, s.Labels, p.Value))
	}
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestARowIsARequest(t *testing.T) {
	m := mapping(t, requestSpec)
	f, got := read(t, m, [2]string{"r.csv", "at,code,ms,path\n10,200,250,/a\n11.5,503,12,/a\n12,404,1,/a\n13,301,,/b\n"})
	const a, b = `{region="r1",route="/a"}`, `{region="r1",route="/b"}`
	same(t, "requests", got,
		"10000 api_success"+a+" 1", "10000 api_duration_seconds"+a+" 0.25",
		"11500 api_success"+a+" 0", "11500 api_duration_seconds"+a+" +Inf",
		"13000 api_success"+b+" 1")
	if c := f.Counts; c.Rows != 4 || c.Ignored != 1 || c.Points != 5 || c.RefusedRows() != 0 {
		t.Errorf("%+v", c)
	}
}

func TestColumnsAreSeries(t *testing.T) {
	m := mapping(t, valueSpec)
	_, csv := read(t, m, [2]string{"v.csv", "\xef\xbb\xbfat,h,temp,requests,state\n1000,x,20.5,7,up\n2000,y,,9,down\n"})
	want := []string{`1000 temperature{host="x"} 20.5`, `1000 requests_total{} 7`, `1000 up{} 1`, `2000 requests_total{} 9`, `2000 up{} 0`}
	same(t, "csv", csv, want...)
	_, lines := read(t, m, [2]string{"v.jsonl", `{"at":1000,"h":"x","temp":20.5,"requests":7,"state":"up"}

{"at":"2000","h":"y","temp":null,"requests":9,"state":"down","more":[1]}`})
	same(t, "JSON lines", lines, want...)
}

func TestLongTablesNameTheirSeries(t *testing.T) {
	m := mapping(t, "  time: {column: ts.at, format: rfc3339}\n  values: [{column: v, seriesColumn: metric, scale: 0.001}]\n")
	f, got := read(t, m, [2]string{"l.ndjson", `{"ts":{"at":"1970-01-01T00:00:01Z"},"metric":"a","v":5}
{"ts":{"at":"1970-01-01T01:00:02+01:00"},"metric":"b","v":5}
{"ts":{"at":"1970-01-01T00:00:02Z"},"metric":"not a name","v":5}`})
	same(t, "long table", got, "1000 a{} 0.005", "2000 b{} 0.005")
	if f.Counts.Refused[reasonSeries] != 1 {
		t.Errorf("%+v", f.Counts)
	}
}

func TestTimes(t *testing.T) {
	f := func(format, zone, text string, want int64) {
		t.Helper()
		m := mapping(t, fmt.Sprintf("  time: {column: at, format: %q, zone: %q}\n  values: [{column: v, series: s}]\n", format, zone))
		got, err := parseTime(text, m.Spec.Time.Format, m.Spec.zone)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%s %q: %d %v, want %d", format, text, got, err, want)
		}
	}
	f("", "", "1970-01-01T00:00:01.5Z", 1500)
	f("rfc3339", "", "1970-01-01T08:00:01+08:00", 1000)
	f("unix", "", "1662858720.0", 1662858720000)
	f("unix", "", "1662858720.25", 1662858720250)
	f("unix", "", "1662858720", 1662858720000)
	f("unix_ms", "", "1662858720001", 1662858720001)
	f("unix_us", "", "1662858720001999", 1662858720001)
	f("unix_ns", "", "1662858720001999999", 1662858720001)
	f("2006-01-02 15:04:05", "Asia/Shanghai", "1970-01-01 08:00:05", 5000)
	f("02/01/2006 15:04", "", "02/01/1970 00:01", 86_460_000)
	f("unix", "", "1662858720000", -1) // milliseconds taken for seconds
	f("unix", "", "-1", -1)
	f("unix_ms", "", "NaN", -1)
	f("rfc3339", "", "1970-01-01", -1)
	f("rfc3339", "", "1969-12-31T23:59:59Z", -1)
	f("unix", "", "", -1)
}

func TestDisorder(t *testing.T) {
	spec := "  time: {column: at, format: unix}\n  sort: %s\n  values: [{column: v, series: s}]\n"
	const table = "at,v\n100,1\n70,2\n130,3\n60,4\n100,5\n"
	f, got := read(t, mapping(t, fmt.Sprintf(spec, "30s")), [2]string{"d.csv", table})
	same(t, "within half a minute", got, "70000 s{} 2", "100000 s{} 1", "100000 s{} 5", "130000 s{} 3")
	if len(f.Counts.First) != 1 || !strings.Contains(f.Counts.First[0].Error(), "d.csv:5:1: is 70 s older") {
		t.Errorf("%+v", f.Counts)
	}
	_, got = read(t, mapping(t, fmt.Sprintf(spec, "all")), [2]string{"d.csv", table})
	same(t, "as a whole", got, "60000 s{} 4", "70000 s{} 2", "100000 s{} 1", "100000 s{} 5", "130000 s{} 3")
}

func TestFilesAreMergedByTime(t *testing.T) {
	m := mapping(t, "  time: {column: at, format: unix}\n  labels: {host: h}\n  values: [{column: v, series: s}]\n")
	_, got := read(t, m, [2]string{"a.csv", "at,h,v\n1,x,1\n4,x,2\n"}, [2]string{"b.tsv", "h\tv\tat\ny\t3\t2\nx\t4\t3\n"})
	same(t, "two files", got, `1000 s{host="x"} 1`, `2000 s{host="y"} 3`, `3000 s{host="x"} 4`, `4000 s{host="x"} 2`)
}

func TestValuesThatTheMapLacks(t *testing.T) {
	m := mapping(t, "  time: {column: at, format: unix}\n  values: [{column: v, series: s, map: {up: 1, down: 0}}]\n")
	f, got := read(t, m, [2]string{"m.csv", "at,v\n1,up\n2,sideways\n3,0.5\n"})
	same(t, "the others", got, "1000 s{} 1", "3000 s{} 0.5")
	const want = `m.csv:3:3: "sideways" is no number, and not among the texts of map: down, up`
	if len(f.Counts.First) != 1 || !strings.HasSuffix(f.Counts.First[0].Error(), want) {
		t.Errorf("%v, want %s", f.Counts.First, want)
	}
}

func TestRowsThatCannotBeUsed(t *testing.T) {
	m := mapping(t, requestSpec)
	const table = "at,code,ms,path\n10,200,1,/a\nnoon,200,1,/a\n11,2000,1,/a\n12,200,fast,/a\n13,200\n14,\"2\"00,1,/a\n15,200,-1,/a\n,200,1,/a\n16,200,1,/a\n"
	f, got := read(t, m, [2]string{"bad.csv", table})
	if len(got) != 4 {
		t.Errorf("points of the good rows: %v", got)
	}
	c := f.Counts
	if c.Rows != 9 || c.Refused[reasonTime] != 2 || c.Refused[reasonOutcome] != 1 || c.Refused[reasonValue] != 2 || c.Refused[reasonColumns] != 1 || c.Refused[reasonSyntax] != 1 {
		t.Errorf("%+v", c)
	}
	var first []string
	for _, p := range c.First {
		first = append(first, p.Error()[strings.Index(p.Error(), "bad.csv"):])
	}
	same(t, "the first", first,
		`bad.csv:3:1: "noon" is no time of the format that spec.time.format says`,
		`bad.csv:4:4: "2000" is in none of the lists of spec.requests.outcome`,
		`bad.csv:5:8: "fast" is no number`,
		`bad.csv:6:1: has 2 columns, want 4`,
		`bad.csv:7:6: extraneous or missing " in quoted-field`)

	strict, err := Open(Options{Mapping: m, Files: []string{f.readers[0].table.name}, Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	defer strict.Close()
	for err == nil {
		_, _, err = strict.Next()
	}
	if !strings.Contains(err.Error(), "bad.csv:3:1") {
		t.Errorf("strict: %v", err)
	}
}

func TestPackedFiles(t *testing.T) {
	m := mapping(t, "  time: {column: at, format: unix}\n  values: [{column: v, series: s}]\n")
	pack := func(members ...string) string {
		var raw bytes.Buffer
		z := gzip.NewWriter(&raw)
		w := tar.NewWriter(z)
		for _, name := range members {
			const body = "{\"at\":1,\"v\":2}\n"
			if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(body))}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return raw.String()
	}
	f, got := read(t, m, [2]string{"a.tar.gz", pack("._d.jsonl", "d.jsonl")})
	same(t, "an archive", got, "1000 s{} 2")
	if n, size := f.Progress(); n != size || n == 0 {
		t.Errorf("progress %d of %d", n, size)
	}
	name := filepath.Join(t.TempDir(), "two.tar.gz")
	if err := os.WriteFile(name, []byte(pack("a.jsonl", "b.jsonl")), 0o600); err != nil {
		t.Fatal(err)
	}
	two, err := Open(Options{Mapping: m, Files: []string{name}})
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	for err == nil {
		_, _, err = two.Next()
	}
	if !strings.Contains(err.Error(), "more than one file") {
		t.Errorf("two members: %v", err)
	}
}

func TestMistakesInMappings(t *testing.T) {
	f := func(spec string, want ...string) {
		t.Helper()
		_, err := Parse("m.yaml", []byte(header+spec))
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s\n%v\nwant %q", spec, err, w)
			}
		}
	}
	f("  time: {}\n", "spec.time.column: want the column", "spec: want values, or requests")
	f("  format: xml\n  delimiter: ab\n  sort: never\n  time: {column: a, format: sundial, zone: Nowhere/Land}\n  values: [{column: b, series: c}]\n",
		"m.yaml:4:11: spec.format: want csv or jsonl, got \"xml\"", "spec.delimiter", "spec.sort", "spec.time.format", "spec.time.zone")
	f("  time: {column: a}\n  labels: {9x: b}\n  values: [{column: b, series: 1s, kind: sum, scale: -1, hold: {every: 1ms, for: 0s}}, {column: c}]\n",
		"spec.labels", "spec.values[0].series", "spec.values[0].kind", "spec.values[0].scale", "hold.every", "spec.values[1]: want series, or seriesColumn")
	f("  time: {column: a}\n  requests: {series: r}\n", "spec.requests: want outcome, latency, or both")
	f("  time: {column: a}\n  requests: {series: r, outcome: {bad: [\"[\"]}, latency: {unit: min}}\n",
		"outcome.column", "outcome.good", "outcome.bad[0]", "latency.column", "latency.unit")
	f("  time: {column: a}\n  values: [{column: b, series: c, kind: delta, hold: {every: 1m, for: 1h}}]\n", "is for gauges")
	f("  tiem: {column: a}\n", "tiem")
	m := mapping(t, valueSpec)
	name := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(name, []byte("when,h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Mapping: m, Files: []string{name}}); err == nil || !strings.Contains(err.Error(), `x.csv:1:1: has no column "at"; it has when, h`) {
		t.Errorf("a missing column: %v", err)
	}
}

func FuzzMapping(f *testing.F) {
	for _, spec := range []string{requestSpec, valueSpec, "  sort: all\n", "  time: {format: \"2006\"}\n", "  values: [null]\n  requests: null\n"} {
		f.Add([]byte(header + spec))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse("m.yaml", data)
		if err != nil {
			if !strings.Contains(err.Error(), "m.yaml") {
				t.Errorf("an error without its place: %v", err)
			}
			return
		}
		made, more := m.Makes()
		if len(made) == 0 && !more {
			t.Error("a mapping that makes nothing")
		}
	})
}

// FuzzRows: whatever a file holds, reading ends, points come in order, and each
// row is used, ignored or refused.
func FuzzRows(f *testing.F) {
	f.Add("r.csv", []byte("at,code,ms,path\n10,200,250,/a\n11,503,12,/a\n9,404,1,\"/b\n"))
	f.Add("r.jsonl", []byte("{\"at\":1,\"code\":200,\"ms\":1e400}\n[1]\n{\"at\":{}}\nnull\n{} {}"))
	f.Add("r.csv", []byte("\x1f\x8b\x08"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if strings.HasSuffix(name, ".jsonl") {
			name = "r.jsonl"
		} else {
			name = "r.csv"
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		files, err := Open(Options{Mapping: mapping(t, requestSpec), Files: []string{path}})
		if err != nil {
			return
		}
		defer files.Close()
		last, points := int64(math.MinInt64), uint64(0)
		for {
			p, ok, err := files.Next()
			if err != nil {
				return
			}
			if !ok {
				break
			}
			if p.Time < last || p.Value != p.Value {
				t.Fatalf("point %+v after %d", p, last)
			}
			last = p.Time
			points++
		}
		c := &files.Counts
		if c.Points != points || c.Ignored+c.RefusedRows() > c.Rows || c.Rows-c.Ignored-c.RefusedRows() > points {
			t.Fatalf("%d points; %+v", points, c)
		}
	})
}
