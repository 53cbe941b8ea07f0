package agent

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nines/internal/telemetry"
	"nines/internal/wire"
)

// What is compared is what ships.
func TestComparedInputsAreThoseThatShip(t *testing.T) {
	text, err := os.ReadFile("../../configs/agent/inputs.toml")
	if err != nil {
		t.Fatal(err)
	}
	all := blocks(string(text))
	for _, name := range compared() {
		if !slices.Contains(all, name) {
			t.Errorf("%s is compared and does not ship", name)
		}
	}
	chosen := choose(string(text), compared())
	if got := blocks(chosen); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(compared()))) {
		t.Errorf("chose %v", got)
	}
	for _, want := range []string{"[[inputs.cpu]]\n  percpu = true\n", "[[inputs.disk]]\n  interval = \"10s\"\n", "fieldexclude = [\"uptime_format\"]"} {
		if !strings.Contains(chosen, want) {
			t.Errorf("what was chosen lacks %q:\n%s", want, chosen)
		}
	}
}

func TestTheLogTellsWhatTheHostLacks(t *testing.T) {
	f := func(log string, want ...string) {
		t.Helper()
		if got, err := absentOf(log); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", log, got, err)
		}
	}
	f("level=INFO msg=\"agent starts\" inputs=cpu,mem not_on_this_host=bond,infiniband\nmore", "bond", "infiniband")
	f("inputs=cpu not_on_this_host=\"\"\n")
	f("inputs=cpu not_on_this_host=\n")
	if _, err := absentOf("starting"); err == nil {
		t.Error("a log that does not say it is read")
	}
}

func series(name string, labels map[string]string) telemetry.Series {
	return telemetry.Series{Name: name, Labels: telemetry.NewLabels(labels), Kind: telemetry.Gauge}
}

func testFrame(absent bool, all ...telemetry.Series) []byte {
	schema := telemetry.NewSchema(all)
	b := telemetry.Block{Fingerprint: schema.Fingerprint, Schema: schema, Columns: len(all), Times: []int64{1000, 2000}, Values: make([]float64, 2*len(all))}
	if absent {
		b.SetAbsent(1)
	}
	var enc wire.Encoder
	return enc.AppendFrame(nil, &telemetry.Frame{Agent: "bench", Boot: 1, Seq: 1, SendTime: 1, Host: telemetry.NewLabels(map[string]string{"host": "bench", "zone": "zone-a"}),
		Blocks: []telemetry.Block{b}}, func(uint64) bool { return true })
}

// What both programs measured has one name, however it was sent.
func TestFramesAndLinesCountAlike(t *testing.T) {
	count := func(lines bool, record string) *contents {
		t.Helper()
		c := &contents{series: map[string]int{}}
		if err := newReader(nil, "", lines).count(c, []byte(record)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	ours := count(false, string(testFrame(true, series("cpu_usage_user", map[string]string{"cpu": "cpu0"}), series("mem_free", nil), series("nines_agent_frames_total", nil))))
	theirs := count(true, "cpu,cpu=cpu0,host=bench,region=local,zone=zone-a usage_user=1.5 1000000000\nmem,host=bench,zone=zone-a free=3i,comment=\"text\" 1000000000\n")
	if ours.samples != 3 || ours.own != 2 || len(ours.series) != 2 {
		t.Errorf("a frame of two rounds, one value absent, counts as %+v", ours)
	}
	if theirs.samples != 2 || theirs.own != 0 {
		t.Errorf("two lines with a text count as %+v", theirs)
	}
	if err := sameSeries(ours, theirs); err != nil {
		t.Error(err)
	}
	more := count(true, "cpu,cpu=cpu0 usage_user=1 1000000000\nmem free=3i,used=1i 1000000000\nconntrack searched=1i 1000000000\n")
	if err := sameSeries(ours, more); err == nil || !strings.Contains(err.Error(), "only Telegraf gives mem_used{}") || strings.Contains(err.Error(), "searched") {
		t.Errorf("a field more: %v", err)
	}
	if err := sameSeries(more, ours); err == nil || !strings.Contains(err.Error(), "only nines-agent gives mem_used{}") {
		t.Errorf("a field less: %v", err)
	}
}

func TestAFrameWithoutItsSchemaIsNotCounted(t *testing.T) {
	schema := telemetry.NewSchema([]telemetry.Series{series("x", nil)})
	var enc wire.Encoder
	b := enc.AppendFrame(nil, &telemetry.Frame{Agent: "a", Boot: 1, Seq: 1, Blocks: []telemetry.Block{
		{Fingerprint: schema.Fingerprint, Schema: schema, Columns: 1, Times: []int64{1}, Values: []float64{1}}}}, func(uint64) bool { return false })
	if err := newReader(nil, "", false).count(&contents{series: map[string]int{}}, b); err == nil {
		t.Error("it counts")
	}
}

func TestBatchesOfAStretchAreSummed(t *testing.T) {
	dir := t.TempDir()
	batch := func(base int64, size int) []byte {
		b := make([]byte, batchHead+size)
		binary.BigEndian.PutUint64(b, uint64(base))
		binary.BigEndian.PutUint32(b[8:], uint32(size))
		return b
	}
	log := slices.Concat(batch(0, 100), batch(7, 50), batch(9, 30), batch(12, 1000)[:40])
	if err := os.WriteFile(filepath.Join(dir, "00000000000000000000.log"), log, 0o644); err != nil {
		t.Fatal(err)
	}
	f := func(from, to, want int64) {
		t.Helper()
		if got, err := batchBytes(dir, from, to); err != nil || got != want {
			t.Errorf("from %d to %d: %d bytes, %v; want %d", from, to, got, err, want)
		}
	}
	f(0, 12, 112+62+42)
	f(7, 12, 62+42)
	f(0, 9, 112+62)
	f(12, 20, 0) // it is being written
}

func TestTheReportTellsEveryWindow(t *testing.T) {
	s := New(Options{})
	s.order = []time.Duration{time.Second}
	for i := range 3 {
		s.windows[time.Second] = append(s.windows[time.Second], Window{Length: 30 * time.Second, Load: "1.00 2.00 3.00",
			Nines:    Side{CPU: 100 * time.Millisecond, RSS: 30e6, Peak: 31e6, Bytes: 3000, Samples: 1000, Series: 33, Own: 60},
			Telegraf: Side{CPU: time.Duration(i+1) * 200 * time.Millisecond, RSS: 60e6, Peak: 70e6, Bytes: 10000, Samples: 1000, Series: 33}})
	}
	s.inputs, s.left, s.shown = "[[inputs.cpu]]\n[[inputs.netstat]]\n", []string{"bond"}, []string{"nines-agent --config\n"}
	var b strings.Builder
	s.Report(&b)
	for _, want := range []string{"## Each 1s", "3 windows of 30 s", "| Telegraf | 48.00 | 24.00 | 72.00 | 60.00 | 60.00 | 60.00 | 70.0 | 10.00 | 10.00 | 10.00 | 33 | 33.3 | 0.0 |",
		"| 2 | 12.00 | 48.00 | 0.250 | 30.0 | 60.0 | 0.500 | 3.00 | 10.00 | 0.300 | 1.00 2.00 3.00 |", "neither program runs them: bond.", "- netstat: nines reads", "nines-agent --config"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "- cpu:") {
		t.Error("an input that is compared is told as left out")
	}
}
