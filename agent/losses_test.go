package agent

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"nines/agent/framing"
	"nines/agent/spool"
	"nines/internal/telemetry"
)

// made returns the frames of an agent that measured two series each second.
func made(t *testing.T, f *framing.Framer, seconds int) []spool.Item {
	t.Helper()
	s := telemetry.NewSchema([]telemetry.Series{
		{Name: "cpu_usage_idle", Kind: telemetry.Gauge, Labels: telemetry.NewLabels(map[string]string{"cpu": "cpu0"})},
		{Name: "cpu_usage_idle", Kind: telemetry.Gauge, Labels: telemetry.NewLabels(map[string]string{"cpu": "cpu1"})},
		{Name: "probe_success", Kind: telemetry.Gauge},
	})
	var out []spool.Item
	for i := range seconds {
		at := 1_790_000_000_000 + int64(i)*1000
		r := telemetry.Round{Schema: s, Time: at, Values: []float64{1, 2, 1}}
		if i%2 == 1 {
			r.Absent = []uint64{0b100}
		}
		f.Sink(r)
		out = append(out, f.Flush(at)...)
	}
	return out
}

func dropOf(items []spool.Item) (d spool.Drop) {
	d = spool.DropOf(spool.ReasonDisk, items[0])
	for _, it := range items[1:] {
		d.From = min(d.From, it.From)
		d.Frames, d.Bytes, d.LastSeq, d.To = d.Frames+1, d.Bytes+len(it.Bytes), it.Seq, it.To
		d.Items = append(d.Items, it)
	}
	return d
}

func TestLossIsCountedBySeriesAndTime(t *testing.T) {
	var text bytes.Buffer
	f := framing.New("a", 7, nil)
	l := newLosses(f.Schema, slog.New(slog.NewTextHandler(&text, nil)))
	if _, some := l.round(1); some {
		t.Fatal("nothing was lost")
	}
	now := time.UnixMilli(1_790_000_100_000)
	items := made(t, f, 20)
	l.add(dropOf(items[5:15]), now) // the frame with the definition is not among them
	want := func(what string, wanted map[string]float64) {
		t.Helper()
		r, some := l.round(2)
		if !some || len(r.Values) != len(r.Schema.Series) || len(r.Values) != len(wanted) {
			t.Fatalf("%s: round %+v", what, r)
		}
		for i, s := range r.Schema.Series {
			if w, ok := wanted[s.Name+strings.TrimPrefix(s.Labels.String(), "{}")]; !ok || w != r.Values[i] {
				t.Errorf("%s: %s%s is %g, want %g", what, s.Name, s.Labels, r.Values[i], w)
			}
		}
	}
	const at, cpu0, cpu1, probe, unknown = 1_790_000_000, `{cpu="cpu0",metric="cpu_usage_idle"}`, `{cpu="cpu1",metric="cpu_usage_idle"}`,
		`{metric="probe_success"}`, `{metric="(unknown)"}`
	lost := func(series ...any) map[string]float64 { // labels, samples, from, to of each, "" is the whole loss
		m := map[string]float64{}
		for i := 0; i < len(series); i += 4 {
			ls := series[i].(string)
			if ls != "" {
				m[droppedSamples+ls] = float64(series[i+1].(int))
			}
			m[droppedFrom+ls], m[droppedTo+ls] = float64(at+series[i+2].(int)), float64(at+series[i+3].(int))
		}
		return m
	}
	want("ten seconds", lost("", 0, 5, 14, cpu0, 10, 5, 14, cpu1, 10, 5, 14, probe, 5, 6, 14))
	for _, words := range []string{"reason=disk", "samples=25", `cpu_usage_idle{cpu=\"cpu0\"} 10, cpu_usage_idle{cpu=\"cpu1\"} 10, probe_success 5`, "first_seq=6", "last_seq=15", "from=2026-09-21", "boot=0000000000000007"} {
		if !strings.Contains(text.String(), words) {
			t.Errorf("the log lacks %s: %s", words, text.String())
		}
	}

	// Within a minute the log says nothing more, after it the sum.
	text.Reset()
	l.add(dropOf(items[15:16]), now.Add(time.Second))
	l.add(dropOf(items[16:18]), now.Add(2*time.Second))
	l.report(now.Add(30 * time.Second))
	if text.Len() > 0 {
		t.Errorf("the log says at once: %s", text.String())
	}
	l.report(now.Add(time.Minute))
	if !strings.Contains(text.String(), "frames=3") || strings.Count(text.String(), "\n") != 1 {
		t.Errorf("the log says: %s", text.String())
	}
	want("the same loss goes on", lost("", 0, 5, 17, cpu0, 13, 5, 17, cpu1, 13, 5, 17, probe, 6, 6, 16))
	l.add(dropOf(items[19:]), now.Add(time.Hour))
	// The probe measured nothing then: its latest loss is the one before.
	want("another loss", lost("", 0, 19, 19, cpu0, 14, 19, 19, cpu1, 14, 19, 19, probe, 6, 6, 16))

	// Another boot's frames bring their definitions with them, or nothing is known.
	l = newLosses(framing.New("a", 8, nil).Schema, slog.New(slog.DiscardHandler))
	l.add(dropOf(items[2:4]), now)
	want("unknown", lost("", 0, 2, 3, unknown, 6, 2, 3))
	l.add(dropOf(append(items[1:2:2], items[0])), now)
	want("defined by a later frame", lost("", 0, 0, 3, unknown, 6, 2, 3, cpu0, 2, 0, 1, cpu1, 2, 0, 1, probe, 1, 0, 0))
}
