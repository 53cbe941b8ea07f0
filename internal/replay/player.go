package replay

import (
	"fmt"

	"nines/internal/rows"
	"nines/internal/telemetry"
)

// PlayedLateness is the lateness, in milliseconds, that suits what is read in the
// order of time: the least after which evaluate, which closes slots once a second,
// closes them. What follows in another file is not older than that.
const PlayedLateness = 1000

// Points are samples in the order of their times; rows.Files are.
type Points interface {
	// Next returns the next one; ok is false after the last.
	Next() (p rows.Point, ok bool, err error)
}

// Player feeds points to a pipeline at the log times that their own times name,
// as if each had arrived when it was measured.
type Player struct {
	// Progress, if not nil, is called at every tick.
	Progress func()

	p       *Pipeline
	table   *rows.Table
	agent   *Agent
	sources []*Source
	held    []held
	holding bool
	floor   int64

	// Begin and Newest are the times of the first and the newest point; Begin is
	// 0 where there was none.
	Begin, Newest int64
	// Old counts points before the ledger's log time: they were counted when it
	// was written, or are missing there for good.
	Old uint64
}

// held is a value that holds until its series' next one.
type held struct {
	value       float64
	next, until int64
	on          bool
}

// NewPlayer returns a player of points whose series are in the table, which may
// grow while they are read.
func NewPlayer(p *Pipeline, table *rows.Table) *Player {
	return &Player{p: p, table: table, agent: p.Agent("replay", telemetry.Labels{}), floor: p.LogTime() - PlayedLateness}
}

// Play plays all points.
func (pl *Player) Play(points Points) error {
	for {
		p, ok, err := points.Next()
		if err != nil || !ok {
			return err
		}
		if p.Time < pl.floor {
			pl.Old++
			continue
		}
		if err := pl.reach(p.Time); err != nil {
			return err
		}
		pl.add(p)
	}
}

// reach moves log time on so far that the next tick is the point's.
func (pl *Player) reach(at int64) error {
	step := pl.p.step
	if pl.Begin == 0 {
		pl.Begin = at
		if err := pl.p.Tick(max(at-at%step, pl.p.LogTime())); err != nil {
			return err
		}
	}
	pl.Newest = max(pl.Newest, at)
	return pl.advance(at-step, at)
}

// advance ticks on the steps' grid, and at end, until log time is at least to.
func (pl *Player) advance(to, end int64) error {
	step := pl.p.step
	for pl.p.LogTime() < to {
		next := pl.p.LogTime() - pl.p.LogTime()%step + step
		if err := pl.tick(min(next, end)); err != nil {
			return err
		}
	}
	return nil
}

func (pl *Player) tick(at int64) error {
	if pl.holding {
		for i := range pl.held {
			pl.repeat(i, at+1)
		}
	}
	if err := pl.p.Tick(at); err != nil {
		return err
	}
	if pl.Progress != nil {
		pl.Progress()
	}
	return nil
}

// add gives the point to its source.
func (pl *Player) add(p rows.Point) {
	for len(pl.sources) <= p.Series {
		pl.sources = append(pl.sources, pl.agent.Source(pl.table.Series[len(pl.sources)].Series))
		pl.held = append(pl.held, held{})
	}
	if s := &pl.table.Series[p.Series]; s.HoldEvery > 0 {
		pl.repeat(p.Series, p.Time)
		pl.holding = true
		pl.held[p.Series] = held{value: p.Value, next: p.Time + s.HoldEvery, until: p.Time + s.HoldFor, on: true}
	}
	pl.sources[p.Series].Add(p.Time, p.Value)
}

// repeat repeats a value that holds until the time to.
func (pl *Player) repeat(series int, to int64) {
	h := &pl.held[series]
	for every := pl.table.Series[series].HoldEvery; h.on && h.next < to; h.next += every {
		if h.on = h.next <= h.until; h.on {
			pl.sources[series].Add(h.next, h.value)
		}
	}
}

// End moves log time to until, Unix milliseconds, so that slots which end by then
// are final, and commits. Where until is 0 it is the end of the shortest slot
// that holds the newest point.
func (pl *Player) End(until int64) (int64, error) {
	if pl.Begin == 0 {
		return 0, pl.p.Commit()
	}
	if until == 0 {
		length := shortestSlot(pl.p.rules[pl.p.ruleID])
		until = pl.Newest - pl.Newest%length + length
	}
	if until <= pl.Newest {
		return 0, fmt.Errorf("end the replay: the data goes on to %d, after %d", pl.Newest, until)
	}
	for i := range pl.held { // what holds is not known beyond
		pl.held[i].until = min(pl.held[i].until, until-1)
	}
	if err := pl.advance(until, until); err != nil {
		return 0, err
	}
	if err := pl.p.Tick(until + PlayedLateness); err != nil {
		return 0, err
	}
	return until, pl.p.Commit()
}
