package torture

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/wire"
)

// faults collects what is wrong, with a bound on what is printed.
type faults struct {
	list []string
	n    map[string]int
}

func (f *faults) add(kind, format string, args ...any) {
	if f.n == nil {
		f.n = map[string]int{}
	}
	if f.n[kind]++; f.n[kind] <= 12 {
		f.list = append(f.list, kind+": "+fmt.Sprintf(format, args...))
	}
}

func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	var errs []error
	for _, s := range f.list {
		errs = append(errs, errors.New(s))
	}
	for kind, n := range f.n {
		if n > 12 {
			errs = append(errs, fmt.Errorf("%s: %d in all", kind, n))
		}
	}
	return errors.Join(errs...)
}

// verdict is what the comparison saw, so that a run which saw nothing fails.
type verdict struct {
	boots, rounds, lost, slots, events, gaps, unplaced, bad, unknown int
}

// judge holds the ledger against the model, and the log against the truth. All
// slots lie within [from, to).
func judge(ctx context.Context, led *ledger.Ledger, m *model, boots map[bootID][]truth, from, to int64) (verdict, error) {
	var v verdict
	var f faults
	gaps, err := led.Gaps(ctx, access.Local(), 0, 1<<62)
	if err != nil {
		return v, err
	}
	v.gaps, v.boots = len(gaps), len(boots)
	judgeDelivery(&v, &f, m, boots, gaps)
	judgeGaps(&f, m, gaps)
	if err := judgeUnplaced(ctx, &v, &f, led, m); err != nil {
		return v, err
	}
	for id, def := range m.streams {
		got := map[slotID]bool{}
		err := led.Slots(ctx, access.Local(), id, from, to, func(g ledger.Group, slots []ledger.Slot) error {
			for i := range slots {
				key := slotID{groupID{id, g.Key.Labels}, slots[i].Start}
				got[key] = true
				judgeSlot(&v, &f, m, def, key, &slots[i])
			}
			return nil
		})
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return v, err
		}
		for key, want := range m.slots {
			if key.stream == id && !got[key] {
				f.add("slot absent", "%s: %d of %d are not in the ledger", m.name(key), want.good, want.total)
			}
		}
	}
	return v, f.err()
}

func (m *model) name(k slotID) string {
	def := m.streams[k.stream]
	metric := ""
	for _, s := range []*slo.Selector{def.Sample, def.Total} {
		if s != nil {
			metric = s.Metric
		}
	}
	return fmt.Sprintf("%s (%.8s, slots of %d s) %s at %d (%s)", metric, k.stream, def.Rule.Length/1000, m.labels[k.groupID], k.start, clock(k.start))
}

// judgeDelivery holds the log against the truth: nothing is invented or
// altered, and what is missing lies in a reported gap of its agent.
func judgeDelivery(v *verdict, f *faults, m *model, boots map[bootID][]truth, gaps []ledger.GapRow) {
	for id, got := range m.rounds {
		if len(got) > len(boots[id]) {
			f.add("invented", "%d rounds of %v, %d were measured", len(got), id, len(boots[id]))
		}
	}
	heard := map[string]int64{} // when an agent's first delivered round was made, by the machine's clock
	for id, rows := range boots {
		for _, row := range rows {
			if m.rounds[id][row.N] != nil && (heard[id.agent] == 0 || row.At < heard[id.agent]) {
				heard[id.agent] = row.At
			}
		}
	}
	for id, rows := range boots {
		for i, row := range rows {
			v.rounds++
			if got := m.rounds[id][row.N]; got != nil {
				for name, want := range row.Values {
					if got[name] != want {
						f.add("altered", "%v round %d: %s is %g, measured was %g", id, row.N, name, got[name], want)
					}
				}
				continue
			}
			v.lost++
			if row.At < heard[id.agent] {
				continue // docs/torture.md: nothing is known of an agent before its first frame
			}
			if !covered(id, row, gaps) && !stepped(rows, i) {
				f.add("lost in silence", "%v round %d of %d at %d (%s) is neither in the log nor in a gap; gaps of the agent: %v",
					id, row.N, len(rows), row.T, clock(row.T), ofAgent(id.agent, gaps))
			}
		}
	}
}

// covered tells whether a gap of the agent holds the sample's time.
func covered(id bootID, row truth, gaps []ledger.GapRow) bool {
	return slices.ContainsFunc(gaps, func(g ledger.GapRow) bool {
		return g.Agent == id.agent && g.From <= row.T && row.T <= g.To
	})
}

// stepped tells whether the agent's clock was set within some seconds of a
// round: times on its far side are unknown to whoever never saw them.
func stepped(rows []truth, i int) bool {
	for j := max(1, i-40); j < min(len(rows), i+40); j++ {
		if d := (rows[j].T - rows[j-1].T) - (rows[j].At - rows[j-1].At); d > 900 || d < -900 {
			return true
		}
	}
	return false
}

func ofAgent(agent string, gaps []ledger.GapRow) (out []wire.Gap) {
	for _, g := range gaps {
		if g.Agent == agent {
			out = append(out, g.Gap)
		}
	}
	return out
}

// judgeGaps holds the gaps against those of the log: each once, none invented.
// Where a boot came to another partition than the one before, or its evaluator
// was killed before it had heard how the boot began, there is one more.
func judgeGaps(f *faults, m *model, gaps []ledger.GapRow) {
	left, moved := map[wire.Gap]int{}, map[bootID]bool{}
	for g, n := range m.gaps {
		left[g] = n
	}
	for i := range m.wide {
		m.wide[i].seen = false
	}
	lives := 0
	for _, g := range gaps {
		if g.Agent == "" && g.Reason == wire.ReasonLog {
			lives++
			continue
		}
		if left[g.Gap]--; left[g.Gap] < 0 {
			if m.widened(g.Gap) || m.relearns(g.Gap) {
				continue
			}
			if id := (bootID{g.Agent, g.Boot}); g.Reason == wire.ReasonRestart && !moved[id] && g.From <= g.To {
				moved[id] = true
				continue
			}
			f.add("gap invented", "%+v", g.Gap)
		}
	}
	if lives != m.lives*len(m.parts) {
		f.add("log gaps", "%d of %d partitions in %d lives", lives, len(m.parts), m.lives)
	}
	for _, w := range m.wide {
		if w.must && !w.seen {
			f.add("gap absent", "%+v or wider", w.Gap)
		}
	}
	for g, n := range left {
		if n > 0 {
			f.add("gap absent", "%+v", g)
		}
	}
}

// widened tells whether the gap is one between two lives of the log: it begins at
// most a checkpoint before what was read.
func (m *model) widened(g wire.Gap) bool {
	for i := range m.wide {
		w := &m.wide[i]
		same := w.Agent == g.Agent && w.Boot == g.Boot && w.LastSeq == g.LastSeq && w.Reason == g.Reason && w.To == g.To
		if same && !w.seen && g.FirstSeq <= w.FirstSeq && g.From <= w.From && w.From-g.From <= checkpointEvery {
			w.seen = true
			return true
		}
	}
	return false
}

// relearns tells whether the gap is of a schema that only the owner of the log
// before had read: it is unknown until the agent sends it again. If it fed any
// objective, the slots will differ.
func (m *model) relearns(g wire.Gap) bool {
	return g.Reason == wire.ReasonSchema && slices.ContainsFunc(m.wide, func(w wideGap) bool {
		return w.Agent == g.Agent && w.Boot == g.Boot && w.LastSeq < g.FirstSeq
	})
}

// checkpointEvery is how far a checkpoint may lie back, in ms: 15 s of log time,
// and what it takes to write it.
const checkpointEvery = 20_000

func judgeUnplaced(ctx context.Context, v *verdict, f *faults, led *ledger.Ledger, m *model) error {
	rows, err := led.Unplaced(ctx, access.Local(), 0, 1<<62)
	if err != nil {
		return err
	}
	got := map[groupID][2]int64{}
	for _, u := range rows {
		k := groupID{u.Group.Stream, u.Group.Labels}
		got[k] = [2]int64{got[k][0] + int64(u.Good), got[k][1] + int64(u.Total)}
	}
	for k, want := range m.unplaced {
		v.unplaced += int(want[1])
		if got[k] != want {
			f.add("unplaced", "%s %s: %v, want %v", k.stream, m.labels[k], got[k], want)
		}
	}
	for k, n := range got {
		if _, ok := m.unplaced[k]; !ok && n != [2]int64{} {
			f.add("unplaced invented", "%s %s: %v", k.stream, m.labels[k], n)
		}
	}
	return nil
}

// judgeSlot holds one slot of the ledger against what the log says.
func judgeSlot(v *verdict, f *faults, m *model, def *slo.Stream, key slotID, sl *ledger.Slot) {
	want := m.slots[key]
	if want == nil {
		want = &tally{}
	}
	v.slots++
	v.events += int(want.total)
	if int64(sl.Good) != max(want.good, 0) || int64(sl.Total) != want.total {
		f.add("slot counts", "%s: %d of %d, want %d of %d", m.name(key), int64(sl.Good), int64(sl.Total), want.good, want.total)
	}
	if sl.State == sla.Open {
		f.add("slot open", "%s", m.name(key))
		return
	}
	if state := verdictOf(def, key.start, want); state != sl.State {
		f.add("slot state", "%s: %v (%s), want %v: %d of %d", m.name(key), sl.State, sl.Reason, state, want.good, want.total)
	}
	switch sl.State {
	case sla.Bad:
		v.bad++
	case sla.Unknown:
		v.unknown++
	}
}

// verdictOf judges a slot by the words of docs/objectives.md.
func verdictOf(def *slo.Stream, start int64, want *tally) sla.State {
	if want.total == 0 {
		return sla.Unknown
	}
	if def.Rule.Bad == sla.BadRatio {
		failed := want.total - max(want.good, 0)
		if uint64(failed)*def.Rule.MaxRatio.Den > uint64(want.total)*def.Rule.MaxRatio.Num {
			return sla.Bad
		}
		return sla.Good
	}
	whole := true
	for _, bins := range want.bins {
		for at := start; at < start+def.Rule.Length; at += def.Bin {
			b := bins[at]
			switch {
			case b == nil:
				whole = false
			case b[0] == 0: // one success makes a bin a success
				return sla.Bad
			}
		}
	}
	if !whole {
		return sla.Unknown
	}
	return sla.Good
}
