package aggregate

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"nines/internal/slo"
	"nines/internal/telemetry"
)

// inForce is a stream as long as it counts.
type inForce struct {
	st   *slo.Stream
	span span
	saw  map[string]*uint64 // by agent and role
}

// plainSums counts as the rule of counters says, stream by stream.
type plainSums struct {
	all   []*inForce
	fresh bool
	good  map[string]uint64
	total map[string]uint64
}

func (p *plainSums) rules(now int64, first bool, set []*slo.Stream) {
	has := func(st *slo.Stream) bool {
		for _, s := range set {
			if s == st {
				return true
			}
		}
		return false
	}
	for _, f := range p.all {
		if f.span.Until == forever && !has(f.st) {
			f.span.Until = boundary(now, f.st.Rule.Length)
		}
	}
	for _, st := range set {
		live := false
		for _, f := range p.all {
			live = live || f.st == st && f.span.Until == forever
		}
		if live {
			continue
		}
		from := boundary(now, st.Rule.Length)
		if first {
			from = 0
		}
		p.all = append(p.all, &inForce{st, span{from, forever}, map[string]*uint64{}})
	}
}

// take takes a frame: bad and total of an agent. Series that are fresh began at
// zero within the boot, which only its first frame shows from the start.
func (p *plainSums) take(agent string, first bool, t int64, bad, total float64) {
	for _, f := range p.all {
		if m := f.st.Total.Matchers; len(m) > 0 && m[0].Value != agent {
			continue
		}
		for role, v := range map[string]float64{"bad": bad, "total": total} {
			c := f.saw[agent+role]
			inc, base := uint64(v), c == nil && !(p.fresh && first)
			if c == nil {
				c = new(uint64)
				f.saw[agent+role] = c
			} else if uint64(v) >= *c {
				inc = uint64(v) - *c
			}
			*c = uint64(v)
			if base || t-1 < f.span.From || t-1 >= f.span.Until {
				continue
			}
			if role == "bad" {
				p.good[f.st.ID()] -= inc
			} else {
				p.good[f.st.ID()] += inc
				p.total[f.st.ID()] += inc
			}
		}
	}
}

// TestStreamsCountAsIfAlone holds what shared readings give against each stream
// counted for itself: rules come and go, counters are reset, owners begin again
// from a checkpoint. Agents are ours or write line protocol.
func TestStreamsCountAsIfAlone(t *testing.T) {
	var pool []*slo.Stream
	for _, by := range []string{"region", "host", "service"} {
		for _, match := range []string{"", "a"} {
			st := requestStream()
			st.GroupBy = []string{by}
			if match != "" {
				m := []slo.Matcher{{Label: "host", Match: slo.Equal, Value: match}}
				st.Bad.Matchers, st.Total.Matchers = m, m
			}
			pool = append(pool, st)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(what string) []*slo.Stream {
			var set []*slo.Stream
			for i, st := range pool {
				if rapid.Bool().Draw(t, fmt.Sprintf("%s %d", what, i)) {
					set = append(set, st)
				}
			}
			return append(set, probeStream()) // so that none is empty
		}
		lines := rapid.Bool().Draw(t, "lines")
		fresh := !lines && rapid.Bool().Draw(t, "fresh")
		schema := telemetry.NewSchema([]telemetry.Series{counterSeries("errors_total", fresh), counterSeries("requests_total", fresh)})
		set := draw("first")
		f := newFixture(t, set...)
		p := &plainSums{fresh: fresh, good: map[string]uint64{}, total: map[string]uint64{}}
		p.rules(epoch, true, set[:len(set)-1])
		f.tick(epoch)
		values := map[string][2]float64{}
		seq := map[string]uint64{}
		now := epoch
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			now += rapid.Int64Range(1, 20_000).Draw(t, "pause")
			for _, agent := range []string{"a", "b"} {
				v := values[agent]
				if rapid.IntRange(0, 9).Draw(t, "reset") == 0 {
					v = [2]float64{}
				}
				v[0] += float64(rapid.IntRange(0, 2).Draw(t, "bad"))
				v[1] += float64(rapid.IntRange(0, 9).Draw(t, "all"))
				first := seq[agent] == 0
				values[agent] = v
				seq[agent]++
				if lines {
					f.line(agent, "errors,host=%s,region=eu total=%di %d", agent, int(v[0]), now*1e6)
					f.line(agent, "requests,host=%s,region=eu total=%di %d", agent, int(v[1]), now*1e6)
				} else {
					f.frame(agent, 7, seq[agent], schema, now, v[0], v[1])
				}
				p.take(agent, first, now, v[0], v[1])
			}
			saved := len(f.saved)
			if rapid.IntRange(0, 3).Draw(t, "rules") == 0 {
				set = draw("next")
				f.set = f.rules.add(set...)
				p.rules(now, false, set[:len(set)-1])
			}
			f.tick(now)
			if len(f.saved) > saved && rapid.Bool().Draw(t, "restart") {
				var err error
				if f.state, _, err = Restore(f.saved[saved], 4, f.rules.get); err != nil {
					t.Fatal(err)
				}
			}
		}
		good, total := map[string]uint64{}, map[string]uint64{}
		for _, out := range f.out {
			for _, c := range out.Counts {
				good[c.Group.Stream] += c.Good
				total[c.Group.Stream] += c.Total
			}
		}
		for _, st := range pool {
			if id := st.ID(); good[id] != p.good[id] || total[id] != p.total[id] {
				t.Errorf("%v of %v: %d of %d, want %d of %d", st.Total.Matchers, st.GroupBy, int64(good[id]), total[id], int64(p.good[id]), p.total[id])
			}
		}
	})
}
