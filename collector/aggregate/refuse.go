package aggregate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// refusal remembers what was said of a boot's histograms, so that it is said
// once.
type refusal struct {
	boot bootKey
	text uint64 // its hash
}

// maxBounds is how many of a histogram's bounds a refusal lists.
const maxBounds = 20

// refuseHistograms records, as gaps without missing frames, why histograms that
// the frame brought first cannot be counted. A histogram may lie in several
// blocks, so that all of them are heard before it is refused.
func (s *State) refuseHistograms(b *boot, f *telemetry.Frame, oldest, newest int64) {
	s.unjudged = false
	type key struct {
		stream *stream
		set    uint64
	}
	var order []key
	all := map[key]tally{}
	fresh := map[key]bool{} // said nothing of yet
	for i := range f.Blocks {
		res := b.resolved(f.Blocks[i].Fingerprint, i)
		if res == nil || res.plan == nil {
			continue
		}
		for _, t := range res.plan.tallies {
			k := key{t.stream, t.set}
			sum, had := all[k]
			if !had {
				order, sum = append(order, k), t
				sum.bounds = nil
			}
			sum.join(&t)
			all[k] = sum
			fresh[k] = fresh[k] || !res.judged
		}
		res.judged = true
	}
	for _, k := range order {
		t := all[k]
		if why := t.refused(); why != "" && fresh[k] {
			s.say(b, why, oldest, newest)
		}
	}
}

func (s *State) say(b *boot, why string, from, to int64) {
	r := refusal{b.key, xxhash.Sum64String(why)}
	if s.refusals[r] {
		return
	}
	s.refusals[r] = true
	s.gaps = append(s.gaps, wire.Gap{Agent: b.key.Agent, Boot: b.key.Boot, From: from, To: to, Reason: wire.ReasonRefused + " " + why})
}

// refusedFor returns why a histogram was refused, where that is what a gap's
// reason says.
func refusedFor(reason string) (why string, ok bool) {
	return strings.CutPrefix(reason, wire.ReasonRefused+" ")
}

// maxWarned bounds what an owner says of refused histograms; the ledger has all.
const maxWarned = 100

// warn logs why histograms are refused, once for all hosts that send the same.
func (o *owner) warn(p *wire.Partial) {
	for i := range p.Gaps {
		why, ok := refusedFor(p.Gaps[i].Reason)
		if !ok || o.warned[why] || len(o.warned) >= maxWarned {
			continue
		}
		if o.warned == nil {
			o.warned = map[string]bool{}
		}
		o.warned[why] = true
		o.log.Warn("a histogram is not counted", "why", why, "agent", p.Gaps[i].Agent)
	}
}

// join adds what another schema says of the histogram.
func (t *tally) join(o *tally) {
	t.bucket, t.total = t.bucket || o.bucket, t.total || o.total
	t.native, t.gauges = t.native || o.native, t.gauges || o.gauges
	t.bounds = append(t.bounds, o.bounds...)
}

// refused returns the reason why the histogram cannot be counted: a word, a
// colon and the reason in words. It is empty where it can, and where it is none:
// summaries have an M_count too.
func (t *tally) refused() string {
	op, limit := t.stream.def.Op, thresholdText(t.stream.def.Threshold)
	switch {
	case t.bucket && t.total:
		return ""
	case len(t.bounds) == 0 && t.native:
		return fmt.Sprintf("native: %s: a native histogram does not say exactly how many values are %s %s; send a classic one with a bucket bound of %s", t.metric, op, limit, limit)
	case len(t.bounds) == 0 && t.gauges:
		return fmt.Sprintf("kind: %s: its buckets are gauges, want cumulative counters", t.metric)
	case len(t.bounds) == 0:
		return ""
	case op == slo.LT || op == slo.GTE:
		return fmt.Sprintf("inclusive: %s: a bucket counts values equal to its bound too, which says nothing of %s %s; use %s", t.metric, op, limit, inclusive(op))
	case !t.bucket:
		return fmt.Sprintf("bound: %s: no bucket bound equals %s (there are %s)", t.metric, limit, listBounds(t.bounds))
	}
	return fmt.Sprintf(`total: %s: it has neither le="+Inf" nor %s%s, so that nothing says how many there are in all`, t.metric, t.metric, countSuffix)
}

// inclusive returns the comparison that buckets can judge in op's stead.
func inclusive(op slo.Op) slo.Op {
	if op == slo.LT {
		return slo.LTE
	}
	return slo.GT
}

// listBounds writes the bounds in ascending order, each once, those that are no
// numbers last.
func listBounds(texts []string) string {
	type written struct {
		bound bound
		ok    bool
		text  string
	}
	var all []written
	for _, text := range texts {
		b, ok := parseBound(text)
		if !ok {
			text = fmt.Sprintf("%q", text)
		}
		all = append(all, written{b, ok, text})
	}
	slices.SortFunc(all, func(a, b written) int {
		switch {
		case a.ok != b.ok && a.ok:
			return -1
		case a.ok != b.ok:
			return 1
		case a.ok && a.bound != b.bound:
			return a.bound.compare(b.bound)
		}
		return strings.Compare(a.text, b.text)
	})
	all = slices.CompactFunc(all, func(a, b written) bool { return a.ok == b.ok && (a.ok && a.bound == b.bound || a.text == b.text) })
	var list []string
	for i := range all[:min(len(all), maxBounds)] {
		list = append(list, all[i].text)
	}
	if more := len(all) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, ", ")
}
