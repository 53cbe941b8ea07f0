package aggregate

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"pgregory.net/rapid"

	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// bucketStream is fed by the classic histogram lat, and by gauges of the name.
func bucketStream(op slo.Op, threshold float64) *slo.Stream {
	return &slo.Stream{Sample: &slo.Selector{Metric: "lat", Matchers: []slo.Matcher{{Label: "code", Match: slo.NotEqual, Value: "404"}}},
		Op: op, Threshold: threshold, GroupBy: []string{"region"}, Bin: 1000, Rule: slotRule()}
}

// buckets are the series of the histogram lat with these bounds; "count" is
// lat_count, and what begins with "fresh " began within the boot.
func buckets(code string, names ...string) *telemetry.Schema {
	var series []telemetry.Series
	for _, n := range names {
		n, fresh := strings.CutPrefix(n, "fresh ")
		labels := map[string]string{"code": code}
		name := "lat_count"
		if n != "count" {
			name, labels["le"] = "lat_bucket", n
		}
		series = append(series, telemetry.Series{Name: name, Labels: telemetry.NewLabels(labels), Kind: telemetry.Counter, Fresh: fresh})
	}
	return telemetry.NewSchema(series)
}

// blocks sends a frame with a block of each schema, all values equal.
func (f *fixture) blocks(agent string, boot, seq uint64, at int64, value float64, schemas ...*telemetry.Schema) {
	f.t.Helper()
	fr := telemetry.Frame{Agent: agent, Boot: boot, Seq: seq, SendTime: at, Host: hostLabels(agent)}
	for _, s := range schemas {
		values := slices.Repeat([]float64{value}, len(s.Series))
		fr.Blocks = append(fr.Blocks, telemetry.Block{Fingerprint: s.Fingerprint, Schema: s, Times: []int64{at}, Values: values})
	}
	f.apply(wire.TypeFrame, f.enc.AppendFrame(nil, &fr, func(uint64) bool { return true }))
}

// refused returns what was said of histograms.
func (f *fixture) refused() (out []string) {
	for _, p := range f.out {
		for _, g := range p.Gaps {
			if why, ok := refusedFor(g.Reason); ok {
				out = append(out, g.Agent+" "+why)
			}
		}
	}
	return out
}

func (f *fixture) wantRefused(want ...string) {
	f.t.Helper()
	if got := f.refused(); !slices.Equal(got, want) {
		f.t.Errorf("refused %q, want %q", got, want)
	}
}

func TestABucketAtTheThresholdCountsExactly(t *testing.T) {
	f := func(name string, st *slo.Stream, good, total uint64, names ...string) {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, st)
			schema := buckets("200", names...)
			f.tick(epoch)
			for host, base := range map[string]float64{"a": 100, "b": 7000} { // cumulative since long
				for i, gained := range []float64{0, 1, 2} {
					var row []float64
					for _, n := range names {
						perSecond := map[string]float64{"0.1": 2, "+Inf": 10, "inf": 10, "count": 10, "1": 9}
						per, ok := perSecond[n]
						if !ok {
							per = 7 // the bucket of 0.3, however it is written
						}
						row = append(row, base+per*gained)
					}
					f.frame(host, 7, uint64(i+1), schema, epoch+int64(i+1)*1000, row...)
				}
			}
			f.tick(epoch + 4000)
			f.wantSum("two hosts, two seconds each", good, total)
			f.wantRefused()
		})
	}
	f("at most", bucketStream(slo.LTE, 0.3), 28, 40, "0.1", "0.3", "1", "+Inf", "count")
	f("above", bucketStream(slo.GT, 0.3), 12, 40, "0.1", "0.3", "1", "+Inf", "count")
	f("as 0.30", bucketStream(slo.LTE, 0.3), 28, 40, "0.1", "0.30", "+Inf")
	f("as 3e-1", bucketStream(slo.LTE, 0.3), 28, 40, "+Inf", "3e-1")
	f("infinity in small letters", bucketStream(slo.LTE, 0.3), 28, 40, "inf", "0.3")
	f("the count in place of infinity", bucketStream(slo.LTE, 0.3), 28, 40, "0.1", "0.3", "count")
	f("the bucket written twice", bucketStream(slo.LTE, 0.3), 28, 40, "0.3", "0.30", "+Inf")
}

func TestHistogramsFollowTheRulesOfCounters(t *testing.T) {
	type step struct {
		boot, seq     uint64
		at            int64 // seconds
		bucket, total float64
	}
	run := func(name, prefix string, good, total, lostGood, lostTotal uint64, steps ...step) {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, bucketStream(slo.LTE, 0.3))
			schema := buckets("200", prefix+"0.3", prefix+"+Inf")
			f.tick(epoch)
			for _, s := range steps {
				f.frame("h", s.boot, s.seq, schema, epoch+s.at*1000, s.bucket, s.total)
				f.tick(epoch + s.at*1000)
			}
			f.wantSum("counted", good, total)
			if g, n, _ := f.unplaced(); g != lostGood || n != lostTotal {
				t.Errorf("unplaced %d of %d, want %d of %d", g, n, lostGood, lostTotal)
			}
		})
	}
	run("a first value is the base", "", 8, 10, 0, 0, step{7, 1, 1, 90, 100}, step{7, 2, 2, 98, 110})
	run("unless it is fresh", "fresh ", 98, 110, 0, 0, step{7, 1, 1, 90, 100}, step{7, 2, 2, 98, 110})
	run("a new boot counts from zero again", "fresh ", 16, 20, 0, 0, step{7, 1, 1, 8, 10}, step{8, 1, 2, 8, 10})
	run("it outlives the agent", "", 8, 10, 0, 0, step{7, 1, 1, 90, 100}, step{8, 1, 2, 98, 110})
	run("a reset", "", 4, 5, 0, 0, step{7, 1, 1, 90, 100}, step{7, 2, 2, 4, 5})
	run("a reset that only the bucket shows", "", 4, 120, 0, 0, step{7, 1, 1, 90, 100}, step{7, 2, 2, 4, 120})
	run("lost frames within a slot", "", 8, 10, 0, 0, step{7, 1, 1, 90, 100}, step{7, 9, 30, 98, 110})
	run("a gap longer than a slot has no slot", "", 8, 10, 80, 100,
		step{7, 1, 1, 90, 100}, step{7, 2, 2, 98, 110}, step{7, 9, 70, 178, 210})
	run("a fresh one after a gap", "fresh ", 0, 0, 9, 10, step{7, 9, 5, 9, 10})
	run("an older value than the last", "", 8, 10, 0, 0, step{7, 1, 1, 0, 0}, step{7, 2, 3, 8, 10}, step{7, 3, 2, 1, 5})
	run("nothing happens", "", 0, 0, 0, 0, step{7, 1, 1, 90, 100}, step{7, 2, 2, 90, 100})
	run("read while it was written", "", 9, 10, 0, 0, step{7, 1, 1, 100, 100}, step{7, 2, 2, 105, 104}, step{7, 3, 3, 109, 110})
	run("a reset that only both together show", "", 8, 10, 60, 108, step{7, 1, 1, 50, 100}, step{7, 2, 30, 59, 108}, step{7, 3, 62, 60, 108}, step{7, 4, 63, 68, 118})
	run("the base read while it was written", "", 1, 2, 0, 0, step{7, 1, 1, 101, 100}, step{7, 2, 2, 101, 101}, step{7, 3, 3, 102, 103})
}

// A total without its bucket makes no event bad; the two may come in different
// frames, late and in any order.
func TestHalvesOfAHistogramWaitForEachOther(t *testing.T) {
	bucket, total := buckets("200", "0.3"), buckets("200", "+Inf", "count")
	f := newFixture(t, bucketStream(slo.LTE, 0.3))
	f.tick(epoch)
	seq := uint64(0)
	send := func(schema *telemetry.Schema, at int64, values ...float64) {
		seq++
		f.frame("h", 7, seq, schema, epoch+at*1000, values...)
	}
	send(bucket, 1, 90)
	send(total, 1, 100, 100)
	f.wantRefused()
	for at := int64(2); at < 30; at++ { // the bucket is lost for half a minute
		send(total, at, 100+float64(at), 100+float64(at))
		f.tick(epoch + at*1000)
	}
	f.wantSum("totals alone", 0, 0)
	send(total, 31, 150, 150)
	send(bucket, 31, 140)
	f.tick(epoch + 31_000)
	f.wantSum("what both gained", 50, 50)
	send(bucket, 32, 141)
	send(bucket, 33, 142)
	send(total, 32, 152, 152)
	send(total, 33, 154, 154)
	f.tick(epoch + 34_000)
	f.wantSum("out of step", 52, 54)
	if n := f.out[len(f.out)-1].Counts; len(n) != 2 || n[0].Good != 1 || n[0].Total != 2 || n[1].Good != 1 || n[1].Total != 2 {
		t.Errorf("what happened in a second belongs there: %+v", n)
	}
	for _, p := range f.state.pairs {
		if len(p.pending) > 0 {
			t.Errorf("readings wait although all are whole: %+v", p.pending)
		}
	}
	if p := f.apply(wire.TypeFrame, f.encode("h", 7, seq+1, bucket, true, []int64{epoch + 40_000}, 150)); p != nil {
		t.Errorf("%+v", p)
	}
	for at := range int64(3 * maxPending) {
		send(bucket, 41+at, 151)
	}
	for _, p := range f.state.pairs {
		if len(p.pending) != maxPending || p.pending[maxPending-1].Time != epoch+(40+3*maxPending)*1000 {
			t.Errorf("%d readings wait, want the %d newest", len(p.pending), maxPending)
		}
	}
}

// A column that is absent for some rounds of a frame is no zero.
func TestAbsentBucketsAreNotCounted(t *testing.T) {
	f := newFixture(t, bucketStream(slo.LTE, 0.3))
	schema := buckets("200", "0.3", "+Inf")
	f.tick(epoch)
	times := []int64{epoch, epoch + 1000, epoch + 2000, epoch + 3000}
	fr := telemetry.Frame{Agent: "h", Boot: 7, Seq: 1, SendTime: times[3], Host: hostLabels("h")}
	blk := telemetry.Block{Fingerprint: schema.Fingerprint, Schema: schema, Times: times, Values: []float64{10, 0, 0, 16, 10, 14, 0, 18}}
	blk.SetAbsent(1)
	blk.SetAbsent(2)
	blk.SetAbsent(6)
	fr.Blocks = []telemetry.Block{blk}
	f.apply(wire.TypeFrame, f.enc.AppendFrame(nil, &fr, func(uint64) bool { return true }))
	p := f.tick(epoch + 4000)
	if len(p.Counts) != 1 || p.Counts[0].Good != 6 || p.Counts[0].Total != 8 || p.Counts[0].Bin != epoch+2000 {
		t.Errorf("%+v", p.Counts)
	}
}

func TestHistogramsThatCannotBeCountedAreRefusedOnce(t *testing.T) {
	f := func(want string, st *slo.Stream, schemas ...*telemetry.Schema) {
		t.Helper()
		f := newFixture(t, st)
		f.tick(epoch)
		for seq := range int64(4) {
			f.blocks("h", 7, uint64(seq+1), epoch+seq*1000, float64(seq)*10, schemas...)
		}
		f.tick(epoch + 4000)
		var wants []string
		if want != "" {
			wants = []string{"h " + want}
			f.wantSum(want, 0, 0)
		}
		f.wantRefused(wants...)
		wantEqual(t, "frames that are missing", len(f.gaps(wire.ReasonSequence)), 0)
	}
	at := bucketStream(slo.LTE, 0.25)
	f("bound: lat: no bucket bound equals 0.25 (there are 0.1, 0.5, 1)", at, buckets("200", "1", "0.5", "0.1", "+Inf", "count"))
	f("bound: lat: no bucket bound equals 0.25 (there are 0.1, 0.5, 1)", at, buckets("200", "1", "0.5", "+Inf"), buckets("200", "0.1", "1.0", "count"))
	f("bound: lat: no bucket bound equals 0.25 (there are 0.250000001, 1e1, 20, \"a quarter\")", at, buckets("200", "a quarter", "20", "1e1", "0.250000001", "+Inf"))
	f("", at, buckets("200", "1", "0.5", "+Inf"), buckets("200", "0.1", "0.25", "count"))
	f("", at, buckets("404", "1", "+Inf")) // which the objective does not select
	f("", at, buckets("200", "count"))     // a summary has one too
	f(`total: lat: it has neither le="+Inf" nor lat_count, so that nothing says how many there are in all`, at, buckets("200", "0.25", "1"))
	f("inclusive: lat: a bucket counts values equal to its bound too, which says nothing of lt 0.25; use lte", bucketStream(slo.LT, 0.25), buckets("200", "0.25", "+Inf"))
	f("inclusive: lat: a bucket counts values equal to its bound too, which says nothing of gte 0.25; use gt", bucketStream(slo.GTE, 0.25), buckets("200", "0.25", "+Inf"))
	gauges := telemetry.NewSchema([]telemetry.Series{{Name: "lat_bucket", Labels: telemetry.Labels{{Name: "le", Value: "0.25"}}, Kind: telemetry.Gauge}})
	f("kind: lat: its buckets are gauges, want cumulative counters", at, gauges)
	native := telemetry.NewSchema([]telemetry.Series{{Name: "lat", Kind: telemetry.Histogram}})
	f("native: lat: a native histogram does not say exactly how many values are lte 0.25; send a classic one with a bucket bound of 0.25", at, native)
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprint(i+1))
	}
	f("bound: lat: no bucket bound equals 0.25 (there are 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 10 more)", at, buckets("200", many...))
}

// An agent cuts a long list of series into schemas. That one of them comes alone
// later, or to another owner, says nothing of what the others hold.
func TestAPartOfAHistogramIsNotJudgedAlone(t *testing.T) {
	low, high, other := buckets("200", "0.1", "+Inf"), buckets("200", "0.25", "count"), buckets("500", "0.25", "+Inf")
	f := newFixture(t, bucketStream(slo.LTE, 0.25))
	f.tick(epoch)
	f.blocks("h", 7, 1, epoch+1000, 1, low, high)
	f.blocks("h", 7, 2, epoch+2000, 2, low)
	f.blocks("h", 7, 3, epoch+3000, 3, low, other)
	f.tick(epoch + 15_000)
	f.wantRefused()
	var err error
	if f.state, _, err = Restore(f.saved[len(f.saved)-1], 4, f.rules.get); err != nil {
		t.Fatal(err)
	}
	f.blocks("h", 7, 4, epoch+16_000, 4, low)
	f.tick(epoch + 17_000)
	f.wantRefused()
}

// Host labels decide what is selected: when they change, so may what is refused.
func TestHistogramsAreJudgedAgainWhenTheHostChanges(t *testing.T) {
	first, second := bucketStream(slo.LTE, 0.5), bucketStream(slo.LTE, 0.25)
	first.Sample.Matchers = []slo.Matcher{{Label: "region", Match: slo.Equal, Value: "r1"}}
	second.Sample.Matchers = []slo.Matcher{{Label: "region", Match: slo.Equal, Value: "r2"}}
	f := newFixture(t, first, second)
	f.tick(epoch)
	send := func(seq uint64, region string) {
		schema := buckets("200", "0.1", "+Inf")
		fr := telemetry.Frame{Agent: "h", Boot: 7, Seq: seq, SendTime: epoch, Host: telemetry.NewLabels(map[string]string{"host": "h", "region": region})}
		fr.Blocks = []telemetry.Block{{Fingerprint: schema.Fingerprint, Schema: schema, Times: []int64{epoch}, Values: []float64{1, 2}}}
		f.apply(wire.TypeFrame, f.enc.AppendFrame(nil, &fr, func(uint64) bool { return true }))
		f.tick(epoch)
	}
	send(1, "r1")
	send(2, "r2")
	f.wantRefused("h bound: lat: no bucket bound equals 0.5 (there are 0.1)", "h bound: lat: no bucket bound equals 0.25 (there are 0.1)")
}

// A service is restarted with other buckets: what they can say counts, the rest
// is unknown and said.
func TestBucketLayoutsChangeOnTheFly(t *testing.T) {
	f := newFixture(t, bucketStream(slo.LTE, 0.3))
	with, without := buckets("200", "0.3", "1", "+Inf"), buckets("200", "0.25", "0.5", "+Inf")
	f.tick(epoch)
	f.frame("h", 7, 1, with, epoch+1000, 90, 95, 100)
	f.frame("h", 7, 2, with, epoch+2000, 98, 104, 110)
	f.frame("h", 7, 3, without, epoch+3000, 2, 3, 4)
	f.frame("h", 7, 4, without, epoch+4000, 20, 30, 40)
	f.tick(epoch + 5000)
	f.wantSum("what the first layout said", 8, 10)
	f.wantRefused("h bound: lat: no bucket bound equals 0.3 (there are 0.25, 0.5)")
	f.frame("h", 7, 5, with, epoch+6000, 3, 3, 5)
	f.frame("h", 7, 6, with, epoch+7000, 4, 4, 7)
	f.frame("h", 7, 7, without, epoch+8000, 2, 3, 4)
	f.tick(epoch + 9000)
	f.wantSum("back again, after a reset", 8+3+1, 10+5+2)
	f.wantRefused("h bound: lat: no bucket bound equals 0.3 (there are 0.25, 0.5)")
	f.frame("h", 8, 1, without, epoch+10_000, 2, 3, 4)
	f.set = f.rules.add(bucketStream(slo.LTE, 0.7))
	f.tick(epoch + 11_000)
	f.frame("h", 8, 2, without, epoch+12_000, 2, 3, 4)
	f.tick(epoch + 13_000)
	if got := f.refused(); len(got) != 3 || !strings.Contains(got[2], "0.7") {
		t.Errorf("another boot and other rules are another matter: %q", got)
	}
}

// TestBucketsCountWhatSamplesCount: an objective sees the same events whether a
// host sends each of them, or a classic histogram of them.
func TestBucketsCountWhatSamplesCount(t *testing.T) {
	bounds := []string{"5e-2", "0.10", "0.25", "0.3", "1.0", "2.5"}
	limits := []float64{0.05, 0.1, 0.25, 0.3, 1, 2.5}
	rapid.Check(t, func(rt *rapid.T) {
		at := rapid.IntRange(0, len(limits)-1).Draw(rt, "threshold")
		st := bucketStream(rapid.SampledFrom([]slo.Op{slo.LTE, slo.GT}).Draw(rt, "op"), limits[at])
		raw, classic := newFixture(rt, st), newFixture(rt, st)
		sample := telemetry.NewSchema([]telemetry.Series{{Name: "lat", Kind: telemetry.Gauge}})
		var names []string
		for _, b := range append(slices.Clone(bounds), "+Inf") {
			names = append(names, "fresh "+b)
		}
		histogram := buckets("200", names...)
		raw.tick(epoch)
		classic.tick(epoch)
		hosts := []string{"a", "b", "c"}
		rows, seqs, boots := map[string][]float64{}, map[string]uint64{}, map[string]uint64{}
		for _, h := range hosts {
			rows[h] = make([]float64, len(bounds)+1)
			boots[h], seqs[h] = 1, 1
			classic.frame(h, 1, 1, histogram, epoch, rows[h]...)
		}
		for second := range rapid.IntRange(1, 150).Draw(rt, "seconds") {
			start := epoch + int64(second)*1000
			host := rapid.SampledFrom(hosts).Draw(rt, "host")
			for i, v := range rapid.SliceOfN(rapid.SampledFrom([]float64{0, 0.05, 0.0501, 0.1, 0.2, 0.25, 0.3, 0.30000000000000004, 1, 2, 2.5, 3}), 0, 5).Draw(rt, "values") {
				seqs["raw"]++
				raw.frame("x", 7, seqs["raw"], sample, start+int64(i), v)
				for j, limit := range append(slices.Clone(limits), v) {
					if v <= limit {
						rows[host][j]++
					}
				}
			}
			for k, h := range hosts {
				if h != host && rapid.IntRange(0, 3).Draw(rt, "scraped") > 0 {
					continue // nothing new, or not heard
				}
				seqs[h]++
				classic.frame(h, boots[h], seqs[h], histogram, start+1000-int64(k), rows[h]...)
				if rapid.IntRange(0, 9).Draw(rt, "restarted") == 9 {
					boots[h], seqs[h], rows[h] = boots[h]+1, 0, make([]float64, len(bounds)+1)
				}
			}
			if rapid.IntRange(0, 9).Draw(rt, "cut") == 0 {
				raw.tick(start + 1000)
				classic.tick(start + 1000)
			}
		}
		raw.tick(epoch + 200_000)
		classic.tick(epoch + 200_000)
		if got, want := slots(classic), slots(raw); got != want {
			rt.Fatalf("histograms %s\nsamples %s", got, want)
		}
	})
}

// slots are the counts per slot, without empty ones.
func slots(f *fixture) string {
	sums := map[int64][2]uint64{}
	for _, p := range f.out {
		for _, c := range p.Counts {
			n := sums[c.Bin-c.Bin%60_000]
			sums[c.Bin-c.Bin%60_000] = [2]uint64{n[0] + c.Good, n[1] + c.Total}
		}
	}
	for k, n := range sums {
		if n[1] == 0 {
			delete(sums, k)
		}
	}
	_, _, lost := f.unplaced()
	return fmt.Sprint(sums, lost)
}

// Readings that wait and refusals that were said survive a change of owners.
func TestANewOwnerGoesOnWithHistograms(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(rt, bucketStream(slo.LTE, 0.3), bucketStream(slo.LTE, 0.25))
		f.tick(epoch)
		schemas := []*telemetry.Schema{buckets("200", "0.3", "+Inf"), buckets("200", "0.3"), buckets("200", "count"),
			buckets("500", "0.1", "+Inf"), buckets("500", "0.3", "0.25", "count")}
		n, now, seq := 0.0, epoch, uint64(0)
		for range rapid.IntRange(5, 60).Draw(rt, "records") {
			now += rapid.Int64Range(0, 9000).Draw(rt, "pause")
			seq, n = seq+1, n+float64(rapid.IntRange(0, 3).Draw(rt, "gained"))
			f.blocks("h", 7, seq, now, n, rapid.SliceOfNDistinct(rapid.SampledFrom(schemas), 1, 3, rapid.ID).Draw(rt, "schemas")...)
			f.tick(now)
		}
		f.tick(now + 15_000)
		want := map[int64][]byte{}
		for _, p := range f.out {
			want[p.To] = bytesOf(p)
		}
		for _, data := range f.saved {
			s, _, err := Restore(data, 4, f.rules.get)
			if err != nil {
				rt.Fatal(err)
			}
			for pos := s.Position(); pos < int64(len(f.log)); pos++ {
				out, err := s.Apply(pos, f.log[pos].typ, f.log[pos].value)
				if err != nil {
					rt.Fatal(err)
				}
				if out.Partial != nil && !bytes.Equal(bytesOf(out.Partial), want[out.Partial.To]) {
					rt.Fatalf("the partial to %d differs: %+v", out.Partial.To, out.Partial)
				}
			}
		}
	})
}

func TestHistogramsThatNobodySendsAreForgotten(t *testing.T) {
	f := newFixture(t, bucketStream(slo.LTE, 0.3))
	f.tick(epoch)
	f.frame("h", 7, 1, buckets("200", "0.3", "+Inf"), epoch, 1, 2)
	f.frame("h", 7, 2, buckets("500", "0.5", "+Inf"), epoch, 1, 2)
	f.tick(epoch + 1000)
	if len(f.state.pairs) != 2 || len(f.state.refusals) != 1 {
		t.Fatalf("pairs %d, refusals %d", len(f.state.pairs), len(f.state.refusals))
	}
	f.tick(epoch + agentLife + 60_000)
	f.tick(epoch + agentLife + 2*sweepEvery)
	if s := f.state; len(s.pairs) != 0 || len(s.refusals) != 0 || s.groups.Len() != 0 {
		t.Errorf("pairs %d, refusals %d, groups %d", len(s.pairs), len(s.refusals), s.groups.Len())
	}
}

// A fleet of hosts that all lack the bound is one line of the log; the metric
// counts every host.
func TestRefusedHistogramsAreLoggedOnceAndCounted(t *testing.T) {
	var text, exposed strings.Builder
	o := &owner{Role: &Role{m: newMeters(metrics.NewSet())}, log: slog.New(slog.NewTextHandler(&text, nil))}
	f := newFixture(t, bucketStream(slo.LTE, 0.25))
	f.tick(epoch)
	for _, host := range []string{"a", "b", "c"} {
		f.frame(host, 7, 1, buckets("200", "0.1", "+Inf"), epoch, 1, 2)
	}
	for i := range 2 * maxWarned {
		f.frame("d", 7, uint64(i+1), buckets("200", fmt.Sprint(i+2)), epoch, 1)
	}
	p := f.tick(epoch + 1000)
	o.m.count(p)
	o.warn(p)
	o.warn(p)
	if n := strings.Count(text.String(), "there are 0.1)"); n != 1 {
		t.Errorf("said %d times:\n%s", n, text.String())
	}
	wantEqual(t, "lines", strings.Count(text.String(), "\n"), maxWarned)
	o.m.set.WritePrometheus(&exposed)
	if want := fmt.Sprintf(`nines_aggregate_refused_histograms_total{reason="bound"} %d`, 3+2*maxWarned); !strings.Contains(exposed.String(), want) {
		t.Errorf("want %s in\n%s", want, exposed.String())
	}
}
