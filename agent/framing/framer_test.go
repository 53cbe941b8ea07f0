package framing

import (
	"math/rand/v2"
	"strings"
	"testing"

	"nines/agent/spool"
	"nines/internal/hist"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

func schemaOf(names ...string) *telemetry.Schema {
	series := make([]telemetry.Series, len(names))
	for i, n := range names {
		series[i] = telemetry.Series{Name: n, Kind: telemetry.Gauge}
	}
	return telemetry.NewSchema(series)
}

// decode decodes items as a collector that saw every frame before.
func decode(t *testing.T, schemas *wire.SchemaCache, items []spool.Item) []telemetry.Frame {
	t.Helper()
	out := make([]telemetry.Frame, len(items))
	for i, it := range items {
		var d wire.Decoder
		if err := d.DecodeFrame(it.Bytes, &out[i], schemas); err != nil {
			t.Fatalf("decode frame %d: %v", it.Seq, err)
		}
	}
	return out
}

func TestRoundsOfOneSchemaShareABlock(t *testing.T) {
	f := New("a", 1, nil)
	s := telemetry.NewSchema([]telemetry.Series{{Name: "x", Kind: telemetry.Gauge}, {Name: "h", Kind: telemetry.Histogram}})
	h := &hist.Histogram{Count: 1, Sum: 1, Buckets: []hist.Bucket{{Index: 3, Count: 1}}}
	f.Sink(telemetry.Round{Schema: s, Time: 3000, Values: []float64{3, 0}, Absent: []uint64{2}})
	f.Sink(telemetry.Round{Schema: s, Time: 1000, Values: []float64{1, 0}, Hists: []*hist.Histogram{nil, h}})
	f.Sink(telemetry.Round{Schema: s, Time: 2000, Values: []float64{0, 0}, Absent: []uint64{1}})
	items := f.Flush(5000)
	if len(items) != 1 || items[0].From != 1000 || items[0].To != 3000 {
		t.Fatalf("items %+v", items)
	}
	b := decode(t, wire.NewSchemaCache(0), items)[0].Blocks[0]
	if len(b.Times) != 3 || b.Values[0] != 1 || b.Values[2] != 3 || !b.IsAbsent(1) || b.IsAbsent(0) {
		t.Fatalf("block %+v", b)
	}
	if b.Hists[3] == nil || b.Hists[3].Count != 1 || b.Hists[4] != nil {
		t.Fatalf("histograms %+v", b.Hists)
	}
}

// Whoever flushes hears of the first round that waits, and of no further one.
func TestTheFirstRoundIsTold(t *testing.T) {
	f := New("a", 1, nil)
	s := telemetry.NewSchema([]telemetry.Series{{Name: "x", Kind: telemetry.Gauge}})
	told := 0
	f.OnFirst(func() { told++ })
	for flushes := range 3 {
		for i := range 4 {
			f.Sink(telemetry.Round{Schema: s, Time: int64(i), Values: []float64{1}})
			if told != flushes+1 {
				t.Fatalf("told %d times at round %d after %d flushes", told, i, flushes)
			}
		}
		f.Flush(5000)
		f.Flush(5000)
	}
}

func TestTimesWithinABlockAscend(t *testing.T) {
	s := schemaOf("x")
	var rounds []telemetry.Round
	for range 40 {
		rounds = append(rounds, telemetry.Round{Schema: s, Time: int64(rand.IntN(10)), Values: []float64{1}})
	}
	n := 0
	for _, b := range blocks(rounds) {
		n += len(b.Times)
		for i := 1; i < len(b.Times); i++ {
			if b.Times[i] <= b.Times[i-1] {
				t.Fatalf("times %v", b.Times)
			}
		}
	}
	if n != len(rounds) {
		t.Fatalf("%d rounds of %d", n, len(rounds))
	}
}

func TestSchemasAreRepeatedEveryMinute(t *testing.T) {
	f := New("a", 1, nil)
	s := schemaOf("x")
	carries := func(at int64) bool {
		t.Helper()
		f.Sink(telemetry.Round{Schema: s, Time: at, Values: []float64{1}})
		fr := decode(t, wire.NewSchemaCache(0), f.Flush(at))[0]
		return fr.Blocks[0].Schema != nil
	}
	want := func(at int64, want bool) {
		t.Helper()
		if got := carries(at); got != want {
			t.Errorf("at %d ms: schema carried: %v, want %v", at, got, want)
		}
	}
	want(1000, true)
	want(2000, false)
	want(60_000, false)
	want(61_000, true)
	want(62_000, false)
	want(500, true) // the clock was set back
	s = schemaOf("x", "y")
	want(63_000, true)
	f.RepeatSchemas()
	want(64_000, true)
}

func TestLargeFlushIsSplitWithoutHoles(t *testing.T) {
	f := New("a", 1, nil)
	f.limit = 2000
	wide := make([]string, 50)
	for i := range wide {
		wide[i] = "series_" + strings.Repeat("x", i%5) + string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	var sent int
	for k := range 6 {
		s := schemaOf(append(wide[:20+k:20+k], "end")...)
		for r := range 10 {
			v := make([]float64, len(s.Series))
			for i := range v {
				v[i] = rand.Float64()
			}
			f.Sink(telemetry.Round{Schema: s, Time: int64(r), Values: v})
			sent += len(v)
		}
	}
	items := f.Flush(100)
	if len(items) < 5 {
		t.Fatalf("%d frames", len(items))
	}
	got := 0
	frames := decode(t, wire.NewSchemaCache(0), items)
	for i := range frames {
		if frames[i].Seq != uint64(i+1) {
			t.Errorf("frame %d has number %d", i+1, frames[i].Seq)
		}
		if len(items[i].Bytes) > f.limit {
			t.Errorf("frame of %d bytes", len(items[i].Bytes))
		}
		for _, b := range frames[i].Blocks {
			got += b.Samples()
		}
	}
	if got != sent || f.tooLarge != 0 {
		t.Fatalf("%d samples of %d, %d rounds given up", got, sent, f.tooLarge)
	}
}

func TestPartitionKeepsZonesTogether(t *testing.T) {
	used := map[string]map[int32]int{}
	for _, zone := range []string{"za", "zb", "zc"} {
		used[zone] = map[int32]int{}
		for i := range 2000 {
			p := Partition(zone, "host-"+string(rune('a'+i%26))+strings.Repeat("x", i/26), 12)
			if p < 0 || p >= 12 {
				t.Fatalf("partition %d", p)
			}
			used[zone][p]++
		}
		if len(used[zone]) != 6 {
			t.Errorf("zone %s uses %d partitions, want 6", zone, len(used[zone]))
		}
		for p, n := range used[zone] {
			if n < 250 || n > 420 {
				t.Errorf("zone %s: partition %d has %d of 2000 hosts", zone, p, n)
			}
		}
	}
	if Partition("z", "h", 1) != 0 || Partition("z", "h", 0) != 0 {
		t.Error("one partition is partition 0")
	}
}
