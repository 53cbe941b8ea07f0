package truth

import (
	"nines/internal/ledger"
	"nines/internal/wire"
)

// gaps are what a ledger reports as missing. Those of agents say exactly which
// frames or samples; records that left the log unread, or that nobody could
// decode, are nobody's.
type gaps struct {
	agents map[string][]ledger.GapRow
	nobody []ledger.GapRow
}

func newGaps(rows []ledger.GapRow) *gaps {
	g := &gaps{agents: map[string][]ledger.GapRow{}}
	for _, r := range rows {
		if r.Agent == "" || r.Reason == wire.ReasonSchema {
			g.nobody = append(g.nobody, r)
		} else {
			g.agents[r.Agent] = append(g.agents[r.Agent], r)
		}
	}
	return g
}

// frame tells whether the whole frame is reported by its number.
func (g *gaps) frame(f Frame) bool {
	for _, r := range g.agents[f.Host] {
		if r.Reason == wire.ReasonSequence && r.Boot == f.Boot && f.Frame >= r.FirstSeq && f.Frame <= r.LastSeq {
			return true
		}
	}
	return false
}

// missed tells whether all frames of the boot before this one are reported.
func (g *gaps) missed(f Frame) bool {
	for _, r := range g.agents[f.Host] {
		if r.Reason == wire.ReasonSequence && r.Boot == f.Boot && r.FirstSeq == 1 && r.LastSeq+1 == f.Frame {
			return true
		}
	}
	return false
}

// sample tells whether a sample of a frame that arrived was refused because of
// its time.
func (g *gaps) sample(f Frame, at int64) bool {
	for _, r := range g.agents[f.Host] {
		if (r.Reason == wire.ReasonFuture || r.Reason == wire.ReasonPast) && r.Boot == f.Boot && f.Frame == r.FirstSeq && at >= r.From && at <= r.To {
			return true
		}
	}
	return false
}

// restart tells whether a frame that was lost lies between two boots, where the
// ledger reports that it does not know what there was.
func (g *gaps) restart(l *Loss) bool {
	for _, r := range g.agents[l.Host] {
		if r.Reason == wire.ReasonRestart && r.Boot != l.Boot && l.From >= r.From && l.Until <= r.To {
			return true
		}
	}
	return false
}

// undatedBefore is how long before its record a loss of which no time is known
// may have happened, milliseconds: the record is written with the next commit.
const undatedBefore = 10_000

// may tells whether records that are nobody's may have held samples of
// [from, until), given when the fleet's time was played.
func (g *gaps) may(heads []Head, from, until int64) bool {
	for _, r := range g.nobody {
		lost, found := r.From, r.To
		if lost == 0 {
			lost = r.LogTime - undatedBefore
		}
		if found == 0 {
			found = r.LogTime
		}
		for _, h := range heads {
			if h.fleetTime(lost) < until && h.fleetTime(found) >= from {
				return true
			}
		}
	}
	return false
}

// fleetTime returns what the fleet measured at a log time; the log time itself
// where the head does not tell.
func (h *Head) fleetTime(at int64) int64 {
	if h.Begin == 0 || h.Speed == 0 {
		return at
	}
	return h.Start + int64(float64(at-h.Begin)*h.Speed)
}
