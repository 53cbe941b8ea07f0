package truth

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
)

// recorder keeps what a file says.
type recorder struct {
	series  []Series
	samples []float64
	times   []int64
	faults  []Fault
	frames  []Frame
	end     *End
}

func (r *recorder) Head(Head)              {}
func (r *recorder) Fault(f Fault)          { r.faults = append(r.faults, f) }
func (r *recorder) Series(_ int, s Series) { r.series = append(r.series, s) }
func (r *recorder) Sample(_ int, at int64, v float64) {
	r.times, r.samples = append(r.times, at), append(r.samples, v)
}
func (r *recorder) Frame(f Frame) { r.frames = append(r.frames, f) }
func (r *recorder) End(e End)     { r.end = &e }

func labels(kv ...string) telemetry.Labels {
	m := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return telemetry.NewLabels(m)
}

// file writes a small truth: two series of two hosts.
func file(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, Head{Start: 60_000, Seed: 7, Shard: "1/1", Hosts: 2})
	w.Fault(Fault{"zone_dark", "dark", "z1", 61_000, 70_000})
	turn := &telemetry.Series{Name: "turn_seconds", Kind: telemetry.Gauge, Labels: labels("service", "shop", "zone", "z2")}
	bad := &telemetry.Series{Name: "errors_total", Kind: telemetry.Counter, Labels: labels("service", "shop")}
	host := labels("host", "h1", "zone", "z1")
	for i, v := range []float64{0.25, 0.5, math.Inf(1)} {
		w.Sample(60_000+int64(i)*30_000, "h1", host, turn, v)
	}
	w.Sample(61_000, "h1", host, bad, 3)
	w.Framed("h1", 9, 1)
	w.Sent("h1", 9, 1)
	if err := w.Close(End{End: 150_000, Frames: 3, Complete: true}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	var r recorder
	if err := Read("truth", bytes.NewReader(file(t)), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.series) != 2 || len(r.samples) != 4 || len(r.faults) != 1 || len(r.frames) != 1 || r.frames[0] != (Frame{1, "h1", 9, false}) || r.end == nil || !r.end.Complete {
		t.Fatalf("%+v", r)
	}
	s := r.series[0]
	if s.Labels.Get("zone") != "z2" || s.Labels.Get("host") != "h1" || s.Counter || !r.series[1].Counter {
		t.Errorf("a series has its own labels, and its host's besides: %+v", s)
	}
	if !math.IsInf(r.samples[2], 1) || r.times[2] != 120_000 {
		t.Errorf("%v at %v", r.samples, r.times)
	}
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	head := `{"truth":"nines/truth/v1"}` + "\n"
	f := func(text, want string) {
		t.Helper()
		err := Read("t.jsonl", strings.NewReader(text), &recorder{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	f("", "is this a file of nines sim --truth?")
	f("{}\n", "t.jsonl:1: want a first line")
	f(head+"nonsense\n", "t.jsonl:2: want a line of JSON")
	f(head+`{"s":0,"t":1,"v":1}`+"\n", "t.jsonl:2: sample of series 0, which no line introduced")
	f(head+`{"series":1,"name":"x","kind":"gauge"}`+"\n", "want series 0")
	f(head+`{"other":1}`+"\n", "want a line with")
	f(head+`{"series":0,"name":"x","kind":"gauge"}`+"\n"+`{"s":0,"t":-1,"v":1}`+"\n", "t.jsonl:3: want a time")
	// A line that was cut off by a kill is no mistake.
	if err := Read("t.jsonl", strings.NewReader(head+`{"series":0,"na`), &recorder{}); err != nil {
		t.Error(err)
	}
}

// Slots are counted by the documented words: thresholds, +Inf as slower than
// every one, errors of all requests.
func TestCounts(t *testing.T) {
	rule := sla.SlotRule{Length: 60_000}
	shop := slo.Matcher{Label: "service", Match: slo.Equal, Value: "shop"}
	set := &slo.RuleSet{Streams: map[string]*slo.Stream{
		"turns":  {Sample: &slo.Selector{Metric: "turn_seconds", Matchers: []slo.Matcher{shop}}, Op: slo.LTE, Threshold: 0.3, GroupBy: []string{"zone"}, Rule: rule},
		"other":  {Sample: &slo.Selector{Metric: "turn_seconds", Matchers: []slo.Matcher{{Label: "zone", Match: slo.NotRegexp, Value: "z."}}}, Op: slo.LTE, Rule: rule},
		"raw":    {Sample: &slo.Selector{Metric: "turn_seconds"}, Op: slo.Success, Unit: 1_000_000, Rule: rule},
		"errors": {Bad: &slo.Selector{Metric: "errors_total"}, Total: &slo.Selector{Metric: "requests_total"}, GroupBy: []string{"host"}, Rule: rule},
	}}
	c, err := NewCounts(set, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Read("truth", bytes.NewReader(file(t)), c); err != nil {
		t.Fatal(err)
	}
	if c.Samples != 4 || c.Fed != 4 || c.Incomplete != 0 || len(c.Skipped) != 1 || len(c.streams["other"].groups) != 0 {
		t.Errorf("%+v", c)
	}
	slots := c.streams["turns"].groups[`zone="z2"`].slots
	if a, b := slots[60_000], slots[120_000]; *a != (tally{good: 1, bad: 1, total: 2}) || *b != (tally{bad: 1, total: 1}) {
		t.Errorf("turns: %+v, %+v", a, b)
	}
	if got := c.streams["errors"].groups[`host="h1"`].slots[60_000]; *got != (tally{bad: 3}) {
		t.Errorf("errors: %+v", got)
	}
}

// A counter's growth belongs to the slot before its reading, and once a clock was
// set back to that of the first reading that is later than those before; what a
// lost frame held comes with the next, in no slot where that is too late.
func TestGrowthOfACounter(t *testing.T) {
	f := feed{role: &role{counter: true, add: func(t *tally, v float64) { t.total += int64(v) }}, group: &group{"", map[int64]*tally{}, tally{}}, length: 60_000}
	h := &hostState{}
	for i, r := range []struct {
		at   int64
		grew float64
		lost bool
	}{{59_000, 1, false}, {60_000, 2, false}, {61_000, 4, false}, {58_000, 8, false}, {61_000, 16, false}, {62_000, 32, false},
		{70_000, 64, true}, {122_000, 128, false}, {130_000, 256, true}, {182_001, 512, false}} {
		if r.lost {
			f.measured(1, r.grew)
			continue
		}
		h.arrive(1, uint64(i+1), r.at, false)
		f.arrived(h, r.at, r.grew)
	}
	if a, b, c, d := f.group.slots[0].total, f.group.slots[60_000].total, f.group.slots[120_000].total, f.group.unplaced.total; a != 1+2 || b != 4+8+16+32 || c != 64+128 || d != 256+512 {
		t.Errorf("%d, %d and %d, outside %d", a, b, c, d)
	}
	h.arrive(2, 3, 190_000, true) // frames 1 and 2 of another boot are missing
	if f.arrived(h, 190_000, 7); f.group.unplaced.total != 256+512+7 {
		t.Errorf("outside %d", f.group.unplaced.total)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(file(f))
	f.Add([]byte(`{"truth":"nines/truth/v1"}` + "\n" + `{"series":0,"name":"x","kind":"gauge","labels":{"a":"b"}}` + "\n" + `{"s":0,"t":1,"v":"NaN"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r recorder
		_ = Read("fuzz", bytes.NewReader(data), &r) // anything but a panic
		if len(r.samples) > 0 && len(r.series) == 0 {
			t.Error("samples of no series")
		}
	})
}
