package agent

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"nines/internal/telemetry"
)

// lostBlock is a second of a metric's series, of which only these were measured.
func lostBlock(name string, at int64, labels ...map[string]string) *telemetry.Block {
	var series []telemetry.Series
	for _, m := range labels {
		series = append(series, telemetry.Series{Name: name, Kind: telemetry.Gauge, Labels: telemetry.NewLabels(m)})
	}
	return &telemetry.Block{Schema: telemetry.NewSchema(series), Times: []int64{at}, Columns: len(series), Values: make([]float64, len(series))}
}

func shown(t testing.TB, s *lostSeries) map[string]float64 {
	t.Helper()
	series, values := s.layOut(), s.append(nil)
	if len(series) != len(values) || len(series) != s.width() {
		t.Fatalf("%d series, %d values, width %d", len(series), len(values), s.width())
	}
	got := map[string]float64{}
	for i, x := range series {
		got[x.Name+x.Labels.String()] = values[i]
	}
	if len(got) != len(series) {
		t.Fatalf("%d of %d series have a name of their own", len(got), len(series))
	}
	return got
}

// A host with far more series than are counted one by one loses an hour: the
// rest is counted by metric, with how many series it is of, and nothing grows.
func TestMoreSeriesAreLostThanAreCountedOneByOne(t *testing.T) {
	var s lostSeries
	var all []map[string]string
	for i := range lossSeries + 1200 {
		all = append(all, map[string]string{"container": fmt.Sprint(i)})
	}
	for at := range int64(60) {
		s.count(lostBlock("container_memory_bytes", 1000*at, all...))
	}
	got := shown(t, &s)
	const others = `{metric="container_memory_bytes",series="others"}`
	for name, want := range map[string]float64{
		droppedSamples + `{container="0",metric="container_memory_bytes"}`: 60, droppedTo + `{container="499",metric="container_memory_bytes"}`: 59,
		droppedSamples + others: 60 * 1200, droppedSeries + `{metric="container_memory_bytes"}`: 1200, droppedFrom + others: 0, droppedTo + others: 59,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (there: %v), want %v", name, v, ok, want)
		}
	}
	if len(got) != 3*lossSeries+4 || s.samples() != 60*(lossSeries+1200) {
		t.Errorf("%d series, %d samples", len(got), s.samples())
	}
	if most := s.most(); !strings.HasPrefix(most, "container_memory_bytes (1200 series) 72000, ") || !strings.HasSuffix(most, "and 493 more") {
		t.Errorf("the log says %s", most)
	}
}

// What tells of losses is lost itself, again and again.
func TestLossesOfLossesDoNotGrow(t *testing.T) {
	var s lostSeries
	for at := range int64(20) {
		s.count(lostBlock("mem_free", 1000*at, nil))
		var shown []map[string]string
		for _, x := range s.layOut() {
			if x.Name == droppedSamples {
				shown = append(shown, x.Labels.Map())
			}
		}
		s.count(lostBlock(droppedSamples, 1000*at, shown...))
	}
	if got := shown(t, &s); len(got) != 3+4 {
		t.Errorf("%v", got)
	}
}

// Whatever is lost, no sample is counted twice or not at all, no two series are
// the same, and a series that has labels of our names keeps them.
func TestEveryLostSampleIsCountedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s lostSeries
		total := uint64(0)
		for range rapid.IntRange(1, 6).Draw(t, "blocks") {
			labels := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"", "a", "b", "c"}), 1, 4, rapid.ID).Draw(t, "values")
			label := rapid.SampledFrom([]string{"x", "metric", "series", "exported_metric"}).Draw(t, "label")
			var sets []map[string]string
			for _, v := range labels {
				sets = append(sets, map[string]string{label: v, "also": "y"})
			}
			b := lostBlock(rapid.SampledFrom([]string{"m", "n", droppedFrom}).Draw(t, "name"), int64(rapid.IntRange(0, 9).Draw(t, "at"))*1000, sets...)
			for i := range sets {
				if rapid.Bool().Draw(t, "absent") {
					b.SetAbsent(i)
				} else {
					total++
				}
			}
			s.count(b)
			if rapid.Bool().Draw(t, "pause") {
				s.pause()
			}
		}
		if s.samples() != total {
			t.Fatalf("%d samples, %d were lost", s.samples(), total)
		}
		for _, l := range s.list {
			if l.from > l.to || l.samples == 0 {
				t.Fatalf("%+v", l)
			}
		}
		if series := s.layOut(); len(series) != s.width() || len(s.append(nil)) != s.width() {
			t.Fatalf("width %d, %d series", s.width(), len(series))
		}
	})
}

func BenchmarkLostSeries(b *testing.B) {
	var s lostSeries
	var all []map[string]string
	for i := range 2 * lossSeries {
		all = append(all, map[string]string{"container": fmt.Sprint(i)})
	}
	block := lostBlock("container_memory_bytes", 1000, all...)
	b.ReportAllocs()
	for b.Loop() {
		s.count(block)
	}
}
