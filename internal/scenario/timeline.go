package scenario

import (
	"context"
	"fmt"
	"time"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/slo"
)

// stripSlots bounds how many slots a line of the timeline shows, the last ones.
const stripSlots = 2000

// show returns lines with the slots of every group, and every alert with its
// times.
func (w *world) show(ctx context.Context, set *slo.RuleSet) (lines []string, err error) {
	r := &run{s: w.s}
	done := map[string]bool{}
	for _, o := range set.Objectives {
		if done[o.StreamID] {
			continue
		}
		done[o.StreamID] = true
		err := w.led.Slots(ctx, access.Local(), o.StreamID, w.s.Start-86_400_000, w.end+1, func(g ledger.Group, slots []ledger.Slot) error {
			if len(slots) == 0 {
				return nil
			}
			slots = slots[max(0, len(slots)-stripSlots):]
			letters := make([]byte, len(slots))
			for i := range slots {
				letters[i] = letter(slots[i].State)
			}
			length := time.Duration(set.Streams[o.StreamID].Rule.Length) * time.Millisecond
			lines = append(lines, fmt.Sprintf("slots %s%s from %s, %s each: %s", o.Name, g.Labels, r.clock(slots[0].Start), length, runs(letters)))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for i := range w.said {
		a := &w.said[i]
		lines = append(lines, fmt.Sprintf("%s %s %s", r.clock(a.LogTime), a.Status, r.oneAlert(a)))
	}
	return lines, nil
}
