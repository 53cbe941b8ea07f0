package quiet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/replay"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/wire"
)

const (
	nightTargets = 10_000
	// partWidth is how many targets are simulated together in TestANight: few
	// enough for a processor's caches. Of these, togetherWidth stand for a zone
	// that fails at once, less than a tenth, which would be the region's outage.
	togetherWidth = 8
	partWidth     = 125
	nightParts    = nightTargets / partWidth
	awayFrom      = midnight + 2*3_600_000
	awayTo        = awayFrom + 600_000
)

// part is the page of a book that a part of the night fills.
type part struct {
	Seed    uint64  `json:"seed"`
	Part    int     `json:"part"`
	Targets int     `json:"targets"`
	Rules   string  `json:"rules"`
	CPU     float64 `json:"cpu_seconds"`
	*tally
}

// whole is the night as it comes together from its parts.
type whole struct {
	set   *slo.RuleSet
	began time.Time

	mu    sync.Mutex
	total *tally
	done  time.Duration // of log time, over all parts
	cpu   float64
	book  *os.File // nil without one
}

// TestANight is case 10 as it stands: 10,000 targets, five vantage points, a day
// at 1 % loss, 4.3 billion attempts; the broker is away for ten minutes, and a
// thousand targets have an outage. Parts of the targets are simulated one by one;
// every tenth part tells latencies, too.
func TestANight(t *testing.T) {
	if !given.whole {
		t.Skip("takes an hour: run it with -whole, or by `make torture`")
	}
	w := &whole{set: shipped(t), began: time.Now(), total: newTally()}
	known, err := w.open(given.book)
	if err != nil {
		t.Fatal(err)
	}
	parts := make(chan int, nightParts)
	for i := range nightParts {
		if !known[i] && (given.part < 0 || given.part == i) {
			parts <- i
		}
	}
	close(parts)
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for i := range parts {
				if err := w.simulate(t.Context(), i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	fmt.Fprintln(os.Stderr)
	if w.book != nil {
		if err := w.book.Close(); err != nil {
			t.Error(err)
		}
	}
	w.report(t)
}

// open reads the parts that a book holds, and has those that follow added to it.
func (w *whole) open(name string) (known map[int]bool, err error) {
	known = map[int]bool{}
	if name == "" {
		return known, nil
	}
	in, err := os.Open(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		defer func() { err = errors.Join(err, in.Close()) }()
		lines := bufio.NewScanner(in)
		lines.Buffer(nil, 1<<24)
		for n := 1; lines.Scan(); n++ {
			p := part{tally: newTally()}
			if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, n, err)
			}
			if p.Seed != given.seed || p.Targets != partWidth || p.Rules != w.set.ID() {
				return nil, fmt.Errorf("%s:%d: part %d is of another seed, width or rules; begin another book", name, n, p.Part)
			}
			if !known[p.Part] {
				known[p.Part] = true
				w.enter(&p)
				w.done += 24 * time.Hour
			}
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	w.book, err = os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	return known, err
}

func (w *whole) enter(p *part) {
	w.total.add(p.tally)
	w.cpu += p.CPU
}

// simulate runs a part of the night. One that the limit ends counts here, but is
// not entered into the book.
func (w *whole) simulate(ctx context.Context, i int) error {
	n := &night{targets: partWidth, length: 24 * time.Hour, loss: 0.01, seed: given.seed<<16 + uint64(i), latency: i%10 == 0, away: true}
	n.scatter()
	cut := false
	n.until = func() bool {
		cut = time.Since(w.began) > given.limit
		return cut
	}
	before, err := spent()
	if err != nil {
		return err
	}
	out, err := n.run(ctx, w.set, func(time.Duration) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.done += time.Minute
		fmt.Fprintf(os.Stderr, "\rnight: %5.1f %% simulated, %s", w.percent(), time.Since(w.began).Round(time.Second))
	})
	if err != nil {
		return err
	}
	after, err := spent()
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// Where parts run side by side each is given a share of the process' time.
	p := &part{Seed: given.seed, Part: i, Targets: partWidth, Rules: w.set.ID(), CPU: (after - before).Seconds() / float64(runtime.GOMAXPROCS(0)), tally: out}
	w.enter(p)
	if w.book == nil || cut {
		return nil
	}
	line, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = w.book.Write(append(line, '\n'))
	return err
}

// percent is how much of the night was simulated.
func (w *whole) percent() float64 {
	return 100 * w.done.Hours() / (24 * nightParts)
}

func (w *whole) report(t *testing.T) {
	shown := &night{targets: nightTargets, length: 24 * time.Hour, loss: 0.01, seed: given.seed}
	out := w.total
	t.Logf("\n%s%s\n%d minutes without a broker: %d were unknown, %d are good since the spools arrived; %d minutes around them are wrong\n"+
		"%.1f %% of the night was simulated in %.0f CPU seconds", shown.table(out), out.detections(),
		out.Away.Minutes, out.Away.Unknown, out.Away.Restated, out.Away.Wrong, w.percent(), w.cpu)
	if len(out.Noise) != 0 {
		t.Errorf("noise pages: %v", out.Noise)
	}
	if a := out.Away; a.Unknown < a.Minutes || a.Restated != a.Minutes || a.Wrong != 0 {
		t.Errorf("without a broker: %+v", a)
	}
	for _, kind := range []string{"target", "zone"} {
		// How soon, TestOutagesAreFound judges, over more of them at more phases.
		if _, missed := out.delays(kind); missed != 0 {
			t.Errorf("%s: %d outages were not found", kind, missed)
		}
	}
}

// scatter gives a tenth of a part's targets an outage at any instant of the
// night, of half a minute to five minutes: some at once, as a zone does, others
// alone, a third of these losing 60 % of the attempts.
func (n *night) scatter() {
	dice := rand.New(rand.NewPCG(n.seed, 7))
	n.outages = map[int]*outage{}
	put := func(i int, o outage) {
		o.from = midnight + 60_000 + dice.Int64N(n.length.Milliseconds()-1_000_000)
		if o.from > awayFrom-600_000 && o.from < awayTo+1_200_000 {
			o.from += 2_400_000 // while the broker is away and looked at, targets are fine
		}
		o.to = o.from + 30_000 + dice.Int64N(270_000)
		n.outages[i] = &o
	}
	zone := togetherWidth * dice.IntN(n.targets/togetherWidth)
	put(zone, outage{kind: "zone", loss: 1})
	for i := zone + 1; i < zone+togetherWidth; i++ {
		o := *n.outages[zone]
		n.outages[i] = &o
	}
	for k := 0; len(n.outages) < n.targets/10; {
		i := dice.IntN(n.targets)
		if n.outages[i] != nil {
			continue
		}
		if k++; k%3 == 0 {
			put(i, outage{kind: "partial", loss: 0.6})
		} else {
			put(i, outage{kind: "target", loss: 1})
		}
	}
}

// broker plays its absence in the second that begins at at: agents spool, and the
// log's next tick is that of its return; ten seconds later they send. What became
// of those minutes is looked at before that, and when all around them are closed.
func (n *night) broker(ctx context.Context, out *absence, p *replay.Pipeline, led *ledger.Ledger, set *slo.RuleSet, agents []*replay.Agent, at int64) error {
	hold := func(on bool) {
		for _, a := range agents {
			a.Hold(on)
		}
	}
	switch at {
	case awayFrom:
		hold(true)
		return p.Record(0, wire.TypeTick, wire.AppendTick(nil, &wire.Tick{Clock: awayTo, RuleSet: set.ID()}))
	case awayTo + 10_000:
		if err := p.Commit(); err != nil {
			return err
		}
		err := n.minutes(ctx, led, set, awayFrom, awayTo, func(sl *ledger.Slot, _ uint64) {
			if sl.State == sla.Unknown && sl.Total == 0 {
				out.Unknown++
			}
		})
		hold(false)
		return err
	case awayTo + 900_000:
		if err := p.Commit(); err != nil {
			return err
		}
		return n.minutes(ctx, led, set, awayFrom-600_000, awayTo+600_000, func(sl *ledger.Slot, attempts uint64) {
			switch right := sl.State == sla.Good && sl.Total == attempts; {
			case sl.Start >= awayFrom && sl.Start < awayTo:
				out.Minutes++
				if right && sl.Version >= 2 { // a spool that fills several partials restates more than once
					out.Restated++
				}
			case !right || sl.Version != 1:
				out.Wrong++
			}
		})
	}
	return nil
}

// minutes visits the slots of all groups in [from, to), with how many attempts
// each has in truth.
func (n *night) minutes(ctx context.Context, led *ledger.Ledger, set *slo.RuleSet, from, to int64, f func(sl *ledger.Slot, attempts uint64)) error {
	for id := range set.Streams {
		err := led.Slots(ctx, access.Local(), id, from, to, func(g ledger.Group, slots []ledger.Slot) error {
			attempts := uint64(60 * vantages)
			if g.Labels.Get("target") == "" {
				attempts *= uint64(n.targets)
			}
			for i := range slots {
				f(&slots[i], attempts)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
