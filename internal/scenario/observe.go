package scenario

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"nines/internal/access"
	"nines/internal/alert"
	"nines/internal/ledger"
	"nines/internal/scenario/script"
	"nines/internal/sla"
	"nines/internal/telemetry"
)

// observe compares what the collector says now with what is expected.
func (r *run) observe(ctx context.Context, step *script.Step) error {
	switch step.Action {
	case script.Quiet, script.Never, script.Alert, script.NoAlert, script.Resolved:
		r.alerts(step)
		return nil
	case script.Gaps:
		return r.gaps(ctx, step)
	case script.Slots:
		return r.slots(ctx, step)
	case script.Slot:
		return r.slot(ctx, step)
	}
	return r.status(ctx, step)
}

// matches tells whether an alert is one that the step names.
func matches(step *script.Step, a *alert.Alert) bool {
	if step.Name != "" && a.Labels["alertname"] != step.Name {
		return false
	}
	for name, value := range step.Labels {
		if a.Labels[name] != value {
			return false
		}
	}
	return true
}

func (r *run) alerts(step *script.Step) {
	w := r.world
	var firing, named []alert.Alert
	for _, key := range slices.Sorted(maps.Keys(w.firing)) {
		a := w.firing[key]
		if firing = append(firing, a); matches(step, &a) {
			named = append(named, a)
		}
	}
	chosen := choice(step)
	switch step.Action {
	case script.Quiet, script.NoAlert:
		if len(named) > 0 {
			r.fail(step.Pos, "no alert "+chosen+" at "+r.clock(w.now), r.describe(named))
		}
	case script.Never:
		named = slices.DeleteFunc(slices.Clone(w.said), func(a alert.Alert) bool { return !matches(step, &a) })
		if len(named) > 0 {
			r.fail(step.Pos, "no alert "+chosen+" until "+r.clock(w.now), r.describe(named))
		}
	case script.Alert:
		if !slices.ContainsFunc(named, func(a alert.Alert) bool { return step.Since < 0 || a.StartsAt == step.Since }) {
			r.fail(step.Pos, "alert "+chosen+r.since(step)+" to fire at "+r.clock(w.now), r.describe(firing))
		}
	case script.Resolved:
		r.resolved(step, named)
	}
}

// resolved checks that an alert has fired, does no more, and ended when it
// should.
func (r *run) resolved(step *script.Step, firing []alert.Alert) {
	var ended []alert.Alert
	for _, a := range r.world.said {
		if a.Status == alert.Resolved && matches(step, &a) {
			ended = append(ended, a)
		}
	}
	ok := slices.ContainsFunc(ended, func(a alert.Alert) bool { return step.Since < 0 || a.EndsAt == step.Since })
	if !ok || len(firing) > 0 {
		got := append(ended, firing...)
		r.fail(step.Pos, "alert "+choice(step)+" resolved"+r.since(step), r.describe(got))
	}
}

func (r *run) since(step *script.Step) string {
	if step.Since < 0 {
		return ""
	}
	return " since " + r.clock(step.Since)
}

// choice shows what a step chooses, as it is written.
func choice(step *script.Step) string {
	if len(step.Labels) == 0 {
		return step.Name
	}
	return step.Name + telemetry.NewLabels(step.Labels).String()
}

// clock shows a time in the scenario's zone, the date only where it is not the
// start's.
func (r *run) clock(ms int64) string {
	t, start := time.UnixMilli(ms).In(r.s.Zone), time.UnixMilli(r.s.Start).In(r.s.Zone)
	layout := "15:04:05"
	if ms%1000 != 0 {
		layout = "15:04:05.000"
	}
	if t.Format(time.DateOnly) != start.Format(time.DateOnly) {
		layout = "2006-01-02T" + layout
	}
	return t.Format(layout)
}

// describe shows alerts, each in a line of its own if there are several.
func (r *run) describe(alerts []alert.Alert) string {
	if len(alerts) == 0 {
		return "none"
	}
	var out []string
	for i := range alerts {
		out = append(out, r.oneAlert(&alerts[i]))
	}
	return strings.Join(out, "\n    and ")
}

func (r *run) oneAlert(a *alert.Alert) string {
	labels := maps.Clone(a.Labels)
	delete(labels, "alertname")
	text := a.Labels["alertname"] + telemetry.NewLabels(labels).String() + " since " + r.clock(a.StartsAt)
	if a.Status == alert.Resolved {
		text += " resolved since " + r.clock(a.EndsAt)
	}
	return text
}

// gaps counts the frames that the ledger calls missing.
func (r *run) gaps(ctx context.Context, step *script.Step) error {
	rows, err := r.world.led.Gaps(ctx, access.Local(), 0, math.MaxInt64)
	if err != nil {
		return err
	}
	n := uint64(0)
	var seen []string
	for i := range rows {
		g := &rows[i]
		if step.Name != "" && g.Reason != step.Name {
			continue
		}
		if g.LastSeq > 0 {
			n += g.LastSeq - g.FirstSeq + 1
		}
		seen = append(seen, fmt.Sprintf("%d to %d of %s (%s)", g.FirstSeq, g.LastSeq, g.Agent, g.Reason))
	}
	if strconv.FormatUint(n, 10) != step.Want {
		got := strconv.FormatUint(n, 10)
		if len(seen) > 0 {
			got += ": " + strings.Join(seen, ", ")
		}
		r.fail(step.Pos, step.Want+" frames missing "+step.Name, got)
	}
	return nil
}

// stream finds what a step's name stands for: an objective, or one of a
// contract, written contract/objective.
func (r *run) stream(step *script.Step) (id string, err error) {
	var names []string
	for _, o := range r.set.Objectives {
		if o.Name == step.Name {
			return o.StreamID, nil
		}
		names = append(names, o.Name)
	}
	for _, c := range r.contracts {
		for i := range c.Objectives {
			name := c.Name + "/" + c.Objectives[i].Name
			if name == step.Name {
				return c.Objectives[i].Stream, nil
			}
			names = append(names, name)
		}
	}
	return "", at(step.Pos, "the rules have no objective "+strconv.Quote(step.Name)+"; they have "+list(names))
}

// group returns the one group that the step names; not ok where the failure was
// noted.
func (r *run) group(ctx context.Context, step *script.Step) (g ledger.Group, ok bool, err error) {
	stream, err := r.stream(step)
	if err != nil {
		return g, false, err
	}
	filter := ledger.GroupFilter{Streams: []string{stream}, Labels: step.Labels, IncludeRetired: true}
	groups, err := r.world.led.Groups(ctx, access.Local(), filter)
	if err != nil {
		return g, false, err
	}
	if len(groups) == 1 {
		return groups[0], true, nil
	}
	filter.Labels = nil
	if len(groups) == 0 {
		if groups, err = r.world.led.Groups(ctx, access.Local(), filter); err != nil {
			return g, false, err
		}
	}
	var have []string
	for i := range groups {
		have = append(have, groups[i].Labels.String())
	}
	r.fail(step.Pos, "one group "+choice(step), list(have))
	return g, false, nil
}

func letter(s sla.State) byte {
	switch s {
	case sla.Good:
		return 'G'
	case sla.Bad:
		return 'B'
	case sla.Unknown:
		return 'U'
	}
	return '-'
}

// slots compares a strip of slots, one by one.
func (r *run) slots(ctx context.Context, step *script.Step) error {
	g, ok, err := r.group(ctx, step)
	if !ok {
		return err
	}
	length := r.set.Streams[g.Key.Stream].Rule.Length
	from := step.Since
	if from < 0 {
		from = r.s.Start
	}
	from -= from % length
	until := from + int64(len(step.States))*length
	have, err := r.world.led.GroupSlots(ctx, access.Local(), g.Key, from, until)
	if err != nil {
		return err
	}
	got := make([]byte, len(step.States))
	for i := range got {
		got[i] = '-'
	}
	for _, sl := range have {
		got[(sl.Start-from)/length] = letter(sl.State)
	}
	wrong := 0
	for i, want := range step.States {
		if got[i] == want.Letter {
			continue
		}
		if wrong++; wrong == 1 {
			start := from + int64(i)*length
			r.fail(want.Pos, fmt.Sprintf("slot %d (%s) of %s to be %c", i+1, r.clock(start), choice(step), want.Letter), string(got[i])+reasonAt(have, start))
		}
	}
	if n := len(r.failures); wrong > 1 {
		r.failures[n-1].Got += fmt.Sprintf(", and %d more differ: %s", wrong-1, runs(got))
	}
	return nil
}

func reasonAt(slots []ledger.Slot, start int64) string {
	for i := range slots {
		if s := &slots[i]; s.Start == start {
			text := fmt.Sprintf(" (%d of %d good", s.Good, s.Total)
			if s.Reason != "" {
				text += ", " + s.Reason
			}
			return text + ")"
		}
	}
	return ""
}

// runs writes letters in the notation of the language: G*10 B*2 U.
func runs(letters []byte) string {
	var out []string
	for i := 0; i < len(letters); {
		n := i + 1
		for n < len(letters) && letters[n] == letters[i] {
			n++
		}
		text := string(letters[i])
		if n-i > 1 {
			text += "*" + strconv.Itoa(n-i)
		}
		out = append(out, text)
		i = n
	}
	return strings.Join(out, " ")
}

// slot compares the keys of one slot.
func (r *run) slot(ctx context.Context, step *script.Step) error {
	g, ok, err := r.group(ctx, step)
	if !ok {
		return err
	}
	length := r.set.Streams[g.Key.Stream].Rule.Length
	start := step.Since - step.Since%length
	have, err := r.world.led.GroupSlots(ctx, access.Local(), g.Key, start, start+1)
	if err != nil {
		return err
	}
	var sl ledger.Slot
	if len(have) == 1 {
		sl = have[0]
	}
	for _, k := range step.Keys {
		got := slotKey(&sl, k.Name)
		if got != k.Want {
			r.fail(k.Pos, fmt.Sprintf("%s %s of the slot %s of %s", k.Name, k.Want, r.clock(start), choice(step)), strconv.Quote(got)+reasonAt(have, start))
		}
	}
	return nil
}

func slotKey(sl *ledger.Slot, name string) string {
	switch name {
	case "state":
		return sl.State.String()
	case "reason":
		return sl.Reason
	case "good":
		return strconv.FormatUint(sl.Good, 10)
	case "total":
		return strconv.FormatUint(sl.Total, 10)
	case "blind":
		return strconv.FormatUint(sl.Blind, 10)
	case "version":
		return strconv.FormatUint(uint64(sl.Version), 10)
	}
	return ""
}
