package evaluate

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"nines/internal/alert"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
)

// Names of the alerts that evaluate raises, and their label "kind".
const (
	AlertDown     = "ConfirmedDown"       // kind down, severity page
	AlertAdvisory = "VantagePointFailing" // kind advisory, severity advisory
	AlertBurn     = "ErrorBudgetBurn"     // kind burn, severity of its row
	AlertBlind    = "NinesBlind"          // kind blind, severity page
)

// judged is an objective as one group stands to it.
type judged struct {
	def     *slo.Objective
	trouble *trouble // nil until there is some: most groups never have any
	down    verdict
}

// trouble is what a judged objective needs to remember once an alert of it was
// raised, or a row has to hold for a time before it fires.
type trouble struct {
	// alerts are the alerts it may raise, nil until one does.
	alerts []named
	// since is when the condition of each burn row began to hold, log time; nil
	// until a row must hold for a time.
	since []int64
}

// troubled returns what is remembered, to be added to.
func (j *judged) troubled() *trouble {
	if j.trouble == nil {
		j.trouble = &trouble{}
	}
	return j.trouble
}

// alerts returns the alerts it may raise, if one ever was.
func (j *judged) alerts() []named {
	if j.trouble == nil {
		return nil
	}
	return j.trouble.alerts
}

// verdict is what the confirmed-down rule says of an objective.
type verdict uint8

const (
	calmly    verdict = iota // not down
	advised                  // some vantage point fails
	confirmed                // down
)

func (v verdict) String() string { return [...]string{"", "advisory", "down"}[v] }

const (
	// lookEvery is the log time after which a group is judged although nothing
	// was heard that could change a verdict: burn windows move on.
	lookEvery = 15_000
	// reportEvery is that between two statuses of a group that is well.
	reportEvery = 5_000
)

// judge looks at the alerts of every group that the last partial touched.
func (s *State) judge() {
	s.touchComposites()
	for _, g := range s.touched {
		g.touched = false
		if g.Labels == nil && g.stream != nil && len(g.stream.GroupBy) > 0 {
			continue // its labels follow within a minute: an alert has to name it
		}
		for i := range g.judged {
			j := &g.judged[i]
			if j.def.Down != nil {
				s.judgeDown(g, j)
			}
			s.judgeBurn(g, j)
			s.judgeBudget(g, j)
			s.judgeNoData(g, j)
		}
		g.calm, g.looked = s.calm(g), s.logTime
	}
	clear(s.touched)
	s.touched = s.touched[:0]
}

// touch has the group judged when the partial is applied.
func (s *State) touch(g *group) {
	if !g.touched {
		g.touched = true
		s.touched = append(s.touched, g)
	}
}

// burn returns how fast the objective's budget burned over a window.
func (g *group) burn(s *State, o *slo.Objective, length int64) slo.Rate {
	if len(o.Components) > 0 {
		return s.compositeRate(g, o, func(g *group, o *slo.Objective) slo.Rate { return g.burn(s, o, length) })
	}
	good, total, length := g.sums.budgeted(o, length)
	return o.Rate(good, total, g.extent(s, length, 0))
}

// extent is a window or period of the length, of which the group has lived
// through what came since its first slot, and since the time from.
func (g *group) extent(s *State, length, from int64) slo.Extent {
	return slo.Extent{Length: length, Age: max(s.logTime-max(g.FirstSlot, from), g.stream.Bin), Slot: g.length(), Unit: g.stream.Unit}
}

// advance moves the ends of the group's windows to log time.
func (g *group) advance(s *State) { g.sums.advance(s.logTime, g.next) }

func (s *State) judgeBurn(g *group, j *judged) {
	if g.stream == nil || g.FirstSlot == 0 || s.stale {
		return // stale windows lack their past: one failure would look like all
	}
	g.advance(s)
	for i, row := range j.def.Burn {
		a := 2 + i
		short := g.burn(s, j.def, row.Short)
		var long slo.Rate
		if row.MayHold(short) {
			long = g.burn(s, j.def, row.Long)
		}
		fires, holds := j.held(s, i, row.Holds(long, short))
		if fires {
			if s.raised(j, a) || s.logTime-s.newest(g, j.def) > s.cfg.PageWindow {
				continue // old data, told late: it is in the ledger, it wakes nobody
			}
			if s.paged(g, row.Severity, row.Short) {
				continue
			}
			s.raise(g, j, a, s.newest(g, j.def), fmt.Sprintf("%s burns its error budget %.1f times too fast over %s and %.1f times over %s (limit %.1f)",
				g.name(j.def), long.Burn, duration(row.Long), short.Burn, duration(row.Short), row.Factor))
		} else if short.Seen > 0 && !holds {
			s.withdraw(j, a)
		}
	}
}

// calm tells whether nothing of the group is raised or about to be, so that only
// failure or time can change a verdict on it. A composite hangs on its parts,
// and a row that fires when a burn is low on successes.
func (s *State) calm(g *group) bool {
	if len(s.compositesOver[g.Key.Stream]) > 0 {
		return false
	}
	for i := range g.judged {
		j := &g.judged[i]
		if j.down != calmly || len(j.def.Components) > 0 {
			return false
		}
		if t := j.trouble; t != nil && slices.ContainsFunc(t.since, func(t int64) bool { return t != 0 }) {
			return false
		}
		for i := range j.def.Burn {
			if op := j.def.Burn[i].Op; op == slo.LT || op == slo.LTE {
				return false
			}
		}
		if slices.ContainsFunc(j.alerts(), func(n named) bool { return s.firing(&n) }) {
			return false
		}
	}
	return true
}

// report hands over where the group stands, if it is due: at once for what is
// in trouble or changes, else every few seconds.
func (g *group) report(s *State) {
	if s.stale { // the windows lack their past
		return
	}
	due := !g.calm || s.logTime-g.reported >= reportEvery
	for i := range g.judged {
		j := &g.judged[i]
		if due || g.state != g.condition(s, j) {
			s.out.Statuses = append(s.out.Statuses, g.status(s, j))
			due = true
		}
	}
	if due {
		g.reported = s.logTime
	}
}

// silent tells whether the group has missed three of its samples and ten
// seconds.
func (g *group) silent(s *State) bool { return s.logTime-g.lastSample > 3*g.interval+10_000 }

// status sums up where the group stands.
func (g *group) status(s *State, j *judged) ledger.Status {
	st := ledger.Status{Objective: j.def.Name, Group: g.Key, LogTime: s.logTime, LastSample: s.newest(g, j.def), Down: j.down.String(), BudgetLeft: 1}
	g.state = g.condition(s, j)
	st.State = g.state.String()
	if g.stream == nil || g.FirstSlot == 0 {
		return st
	}
	g.advance(s)
	st.Window = g.window(s, j.def)
	used, good, total := g.consumed(s, j.def)
	st.Attainment = sla.Ratio{Num: good, Den: total}
	st.BudgetLeft = 1 - used
	for _, row := range j.def.Burn {
		long, short := g.burn(s, j.def, row.Long), g.burn(s, j.def, row.Short)
		st.Burn = append(st.Burn, ledger.BurnRate{Long: long.Burn, Short: short.Burn, Firing: row.Holds(long, short)})
	}
	return st
}

// condition is the state of the newest open bins.
type condition uint8

const (
	untold condition = iota // not yet reported
	isUp
	isFailing
	isDown
	isSilent
)

func (c condition) String() string { return [...]string{"", "up", "failing", "down", "silent"}[c] }

func (g *group) condition(s *State, j *judged) condition {
	switch {
	case g.silent(s):
		return isSilent
	case j.down == confirmed:
		return isDown
	case j.down == advised:
		return isFailing
	}
	for _, v := range g.vantages() {
		if f, _, _ := v.streak(0); f > 0 {
			return isFailing
		}
	}
	return isUp
}

// sweep looks, once a second of log time, at what changes by silence alone.
func (s *State) sweep() {
	for g := range s.order.all() {
		if s.logTime-g.looked >= lookEvery {
			s.touch(g)
		}
		if s.logTime-g.reported >= lookEvery || len(g.judged) > 0 && g.state != isSilent && g.silent(s) {
			s.change(g)
		}
	}
	s.judge()
	for _, name := range slices.Sorted(maps.Keys(s.regions)) {
		s.judgeBlind(name, s.regions[name])
	}
	s.judgeTiers()
	s.resolveOrphans()
	s.forgetOutages()
}

// judgeBlind pages when a region that used to speak is silent: the monitor
// cannot see it, which is neither up nor down.
func (s *State) judgeBlind(name string, r *region) {
	switch silent := s.logTime - r.seen; {
	case silent <= s.cfg.BlindAfter, silent > s.cfg.RetireAfter:
		s.resolve(&r.blind)
		if silent > s.cfg.RetireAfter {
			delete(s.regions, name) // it is no longer expected
		}
		return
	case s.firing(&r.blind):
		return
	}
	shown := name
	if shown == "" {
		shown = "(no region)"
	}
	s.fire(&r.blind, 0, fmt.Sprintf("nines is blind in region %s: no telemetry for %s; nothing is known of its targets",
		shown, time.Duration(s.cfg.BlindAfter)*time.Millisecond))
}

// Blind tells whether some region is called silent.
func (s *State) Blind() bool {
	for _, r := range s.regions {
		if s.firing(&r.blind) {
			return true
		}
	}
	return false
}

// Silent tells whether some group that is expected has missed its last samples,
// or has had none.
func (s *State) Silent() bool {
	for g := range s.groups.All() {
		if g.stream != nil && !g.idle && g.Retired == 0 && g.silent(s) {
			return true
		}
	}
	return false
}

func (g *group) name(o *slo.Objective) string {
	var values []string
	for _, l := range g.Labels {
		values = append(values, l.Value)
	}
	if len(values) == 0 {
		return o.Name
	}
	return strings.Join(values, " ") + " (" + o.Name + ")"
}

// firing tells whether the alert is raised.
func (s *State) firing(n *named) bool {
	_, firing := s.alerts[n.key]
	return firing
}

// fire raises the alert, which is not raised yet.
func (s *State) fire(n *named, sampleAt int64, summary string) {
	a := alert.Alert{Status: alert.Firing, Labels: n.labels, StartsAt: s.logTime, SampleAt: sampleAt,
		Annotations: map[string]string{"summary": summary}}
	s.alerts[n.key] = s.publish(a)
}

// resolve ends the alert if it is raised.
func (s *State) resolve(n *named) {
	was, firing := s.alerts[n.key]
	if !firing {
		return
	}
	end := *was
	end.Status, end.EndsAt = alert.Resolved, s.logTime
	s.publish(end)
	delete(s.alerts, n.key)
}

func (s *State) publish(a alert.Alert) *alert.Alert {
	a.LogTime, a.Offset, a.Source = s.logTime, s.offset, s.name()
	s.pending = append(s.pending, a)
	s.out.Alerts = append(s.out.Alerts, a)
	return &a
}

// duration prints milliseconds as the windows of burn rows are named: 5m, 1h, 3d.
func duration(ms int64) string {
	switch {
	case ms%86_400_000 == 0:
		return strconv.FormatInt(ms/86_400_000, 10) + "d"
	case ms%3_600_000 == 0:
		return strconv.FormatInt(ms/3_600_000, 10) + "h"
	case ms%60_000 == 0:
		return strconv.FormatInt(ms/60_000, 10) + "m"
	}
	return (time.Duration(ms) * time.Millisecond).String()
}

// Heartbeat returns the record that tells the watchdogs that evaluation lives,
// and how far it has come.
func (s *State) Heartbeat() alert.Alert {
	return alert.Alert{Status: alert.Heartbeat, Source: s.name(), LogTime: s.logTime, Offset: s.offset}
}

func (s *State) name() string { return "evaluate/" + strconv.Itoa(int(s.partition)) }
