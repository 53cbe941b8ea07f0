package collector

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nines/bench/program"
)

// Detection is how long one contestant took from faults to webhooks.
type Detection struct {
	Contestant, What string
	// Seconds are sorted, +Inf for a fault that it never told of, by run.
	Seconds [][]float64
	Shown   []string
	// Whole are the seconds until all hosts of a zone were told of, sorted.
	Whole []float64
	// Cores are CPU seconds a second of all its processes, By says what each of them
	// took, Late is what it could not do in time, and False how many hosts it told of
	// that were well. All of them in front of a fleet only.
	Cores    float64
	By, Late string
	False    int
	// Missed says that it did not see the fleet in time: then it has no Seconds.
	Missed string
}

// all are the seconds of all runs together, sorted.
func (d *Detection) all() []float64 {
	return slices.Sorted(slices.Values(slices.Concat(d.Seconds...)))
}

// Percentile is the nearest rank of sorted values.
func Percentile(sorted []float64, p float64) float64 {
	return sorted[max(0, int(math.Ceil(p*float64(len(sorted))))-1)]
}

// The contestants of a race, by the name of their webhook's path.
const (
	NinesShipped   = "nines"
	PromDefaults   = "prometheus-defaults"
	VictoriaAsIs   = "vmalert-defaults"
	promSecond     = "prometheus-1s"
	victoriaSecond = "vmalert-1s"
)

const (
	// faults is how many targets fail in a run, one after the other by gap, which
	// is no multiple of anybody's interval.
	faults = 20
	gap    = 730 * time.Millisecond
	// forgiven is how long after the last fault the slow ones may take.
	forgiven = 3 * time.Minute
)

// Detect lets targets fail in front of everybody, faults in each run, and returns
// how long each took to tell. It is done once for all runs.
func (s *Session) Detect(ctx context.Context, runs int) ([]Detection, error) {
	if s.detected != nil {
		return s.detected, nil
	}
	if err := s.alone(ctx); err != nil {
		return nil, err
	}
	w := &watching{s: s, rule: upRule, well: upWell}
	var err error
	if w.hooks, err = newHooks(); err != nil {
		return nil, err
	}
	defer w.hooks.srv.Close()
	for range runs * faults {
		t, err := newTarget()
		if err != nil {
			return nil, err
		}
		defer t.srv.Close()
		w.targets = append(w.targets, t)
	}
	w.jobs = fmt.Sprintf(scrapeTargets, w.addresses())
	begun, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	w.ctx = begun
	all, err := w.start()
	defer func() {
		for _, c := range all {
			c.stop()
		}
	}()
	if err != nil {
		return nil, err
	}
	if err := w.ready(ctx, all); err != nil {
		return nil, err
	}
	if err := w.race(ctx, all, runs); err != nil {
		return nil, err
	}
	s.detected = w.results(all, runs)
	return s.detected, nil
}

// alone starts Kafka without a log, unless there is one.
func (s *Session) alone(ctx context.Context) error {
	if s.opened {
		if s.err != nil {
			return s.err
		}
		return s.restore(ctx)
	}
	if err := s.workshop(ctx); err != nil {
		return err
	}
	var err error
	if s.fleet, err = newFleet(s.o.Root, s.o.Hosts, partitions); err != nil {
		return err
	}
	return s.connect()
}

// start starts all contestants.
func (w *watching) start() (all []*watcher, err error) {
	shipped := filepath.Join(w.s.o.Root, "configs", "objectives")
	second := pace{"1s", "1s", "0s", "1s"}
	for _, c := range []struct {
		watcher
		begin func(*watcher) error
	}{
		{watcher{name: NinesShipped, what: "five agents probe each second; the objectives that ship: down is two failures in a row from three of five"},
			func(to *watcher) error { return w.nines(to, shipped) }},
		{watcher{name: PromDefaults, slow: true, what: "scrapes and evaluates every 15 s and waits 30 s for a group, as Debian's example files do; one failure is enough"},
			func(to *watcher) error { return w.prometheus(to, pace{"15s", "15s", "30s", "5m"}) }},
		{watcher{name: VictoriaAsIs, slow: true, what: "VictoriaMetrics scrapes every 15 s, vmalert evaluates by its default each minute, Alertmanager waits 30 s; one failure is enough"},
			func(to *watcher) error { return w.victoria(to, pace{"15s", "", "30s", "5m"}) }},
		{watcher{name: promSecond, what: "the same with 1 s everywhere and no wait; one failure is enough"},
			func(to *watcher) error { return w.prometheus(to, second) }},
		{watcher{name: victoriaSecond, what: "the same with 1 s everywhere, no delay of queries and no wait; one failure is enough"},
			func(to *watcher) error {
				return w.victoria(to, second, "-search.latencyOffset=0s", "-rule.evalDelay=0s")
			}},
	} {
		to := c.watcher
		all = append(all, &to)
		if err := c.begin(&to); err != nil {
			return all, fmt.Errorf("start %s: %w", to.name, err)
		}
	}
	return all, nil
}

// ready waits until everybody has seen every target well.
func (w *watching) ready(ctx context.Context, all []*watcher) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, c := range all {
		if err := program.Until(ctx, c.name+" sees all targets", c.ps, func() (bool, error) { return c.sees(ctx, len(w.targets)) }); err != nil {
			return err
		}
	}
	return nil
}

// race lets the targets fail and waits until everybody has told of each of them,
// or has had its time.
func (w *watching) race(ctx context.Context, all []*watcher, runs int) error {
	var ps []*program.Process
	for _, c := range all {
		ps = append(ps, c.ps...)
	}
	tick := time.NewTicker(gap)
	defer tick.Stop()
	for i, t := range w.targets {
		t.fail()
		if i%faults == faults-1 {
			fmt.Fprintf(w.s.o.Log, "detection: %d of %d targets have failed\n", i+1, runs*faults)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	last := time.Now()
	return program.Until(ctx, "everybody has told", ps, func() (bool, error) {
		for _, c := range all {
			for _, t := range w.targets {
				if _, ok := w.hooks.told(c.name, t.addr); !ok {
					return time.Since(last) > forgiven, nil
				}
			}
		}
		return true, nil
	})
}

func (w *watching) results(all []*watcher, runs int) (out []Detection) {
	for _, c := range all {
		d := Detection{Contestant: c.name, What: c.what, Shown: c.shown}
		for run := range runs {
			var took []float64
			for _, t := range w.targets[run*faults : (run+1)*faults] {
				if at, ok := w.hooks.told(c.name, t.addr); ok {
					took = append(took, at.Sub(t.failed).Seconds())
				} else {
					took = append(took, math.Inf(1))
				}
			}
			slices.Sort(took)
			d.Seconds = append(d.Seconds, took)
		}
		v := d.all()
		fmt.Fprintf(w.s.o.Log, "%-22s p50 %6.2f s, p99 %6.2f s, max %6.2f s\n", d.Contestant, Percentile(v, 0.5), Percentile(v, 0.99), v[len(v)-1])
		out = append(out, d)
	}
	return out
}

// detections tells them.
func (s *Session) detections(b *strings.Builder) {
	if len(s.detected) == 0 {
		return
	}
	fmt.Fprintf(b, "## From fault to webhook\n\n%d targets fail one after the other, each %s, in front of everybody at once: its port refuses connections. Seconds until a webhook tells of that target.\n\n", len(s.detected[0].all()), gap)
	b.WriteString("| contestant | how it looks | p50 | p99 | max | faults |\n|---|---|---|---|---|---|\n")
	for _, d := range s.detected {
		v := d.all()
		fmt.Fprintf(b, "| %s | %s | %.2f | %.2f | %.2f | %d |\n", d.Contestant, d.What, Percentile(v, 0.5), Percentile(v, 0.99), v[len(v)-1], len(v))
	}
	everyFault(b, s.detected)
}

func everyFault(b *strings.Builder, all []Detection) {
	b.WriteString("\nEvery fault, in seconds, sorted, by run; +Inf was not told of in time:\n\n```\n")
	for _, d := range all {
		for run, v := range d.Seconds {
			fmt.Fprintf(b, "%-20s %d:", d.Contestant, run+1)
			for _, x := range v {
				fmt.Fprintf(b, " %.2f", x)
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("```\n\n")
}
