package collector

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"nines/bench/program"
)

const (
	// fleetFaults is how many faults a run has, the last of them a zone.
	fleetFaults = 6
	// fleetGap lies between them, no multiple of anybody's interval.
	fleetGap = 1570 * time.Millisecond
	// fleetLimit is how long a contestant may take until it sees the fleet. One that
	// does not is reported as such.
	fleetLimit = 3 * time.Minute
	// fleetBudget is how long all of it may take.
	fleetBudget = 10 * time.Minute
	// fleetLook is how often a contestant is asked what it sees, so that asking is
	// none of its work.
	fleetLook = time.Second
)

// patient is how long after the last fault a contestant may take.
func (c *watcher) patient() time.Duration {
	if c.slow {
		return 2 * time.Minute
	}
	return 20 * time.Second
}

const probeRule = `groups:
- name: probes
  rules:
  - alert: TargetDown
    expr: avg by (probe, target, target_zone, target_region) (probe_success) < 0.5
    labels: {severity: page}
`

const exporterJob = `  - job_name: vantage-%[1]d
    metrics_path: /%[1]d
    static_configs: [{targets: [%[2]q]}]
`

// fleetRace is the race from fault to webhook in front of a fleet. Who looks each
// second runs alone, for on one machine they would slow each other down.
type fleetRace struct {
	*watching
	town   *town
	faults []*fault
	runs   int
	end    time.Time // of the whole race
}

// DetectFleet lets hosts and zones of a fleet fail, fleetFaults in each run, and
// returns how long each contestant took to tell of each. It is done once for all
// runs.
func (s *Session) DetectFleet(ctx context.Context, runs int) ([]Detection, error) {
	if s.raced {
		return s.detectedFleet, s.raceErr
	}
	s.raced = true
	s.raceErr = s.raceFleet(ctx, runs)
	return s.detectedFleet, s.raceErr
}

func (s *Session) raceFleet(ctx context.Context, runs int) (err error) {
	if err := s.alone(ctx); err != nil {
		return err
	}
	r := &fleetRace{watching: &watching{s: s, rule: probeRule, well: "count(probe_success==1)"}, runs: runs, end: time.Now().Add(fleetBudget)}
	if r.town, err = newTown(s.o.Root, s.o.Fleet); err != nil {
		return err
	}
	if r.faults, err = r.town.faults(runs*fleetFaults, fleetFaults); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	exporter := &http.Server{Handler: r.town}
	defer exporter.Close()
	go func() { _ = exporter.Serve(l) }()
	for k := range vantages {
		r.jobs += fmt.Sprintf(exporterJob, k, l.Addr())
	}
	for _, stage := range r.stages() {
		found, err := r.stage(ctx, stage)
		s.detectedFleet = append(s.detectedFleet, found...)
		if err != nil {
			return err
		}
	}
	return nil
}

// runner is a contestant and how it starts.
type runner struct {
	watcher
	begin func(context.Context, *watcher) error
}

// stages are the contestants, in the order in which they run; those of a stage
// run together.
func (r *fleetRace) stages() [][]runner {
	second := pace{"1s", "1s", "0s", "1s"}
	return [][]runner{
		{{watcher{name: NinesShipped, what: "frames of all hosts' agents; the objectives that ship, all of them judged: down is two failures in a row from three of five"}, r.nines}},
		{{watcher{name: PromDefaults, slow: true, what: "scrapes and evaluates every 15 s and waits 30 s for a group, as Debian's example files do; three failures of five are enough"},
			func(_ context.Context, to *watcher) error {
				return r.prometheus(to, pace{"15s", "15s", "30s", "5m"})
			}},
			{watcher{name: VictoriaAsIs, slow: true, what: "VictoriaMetrics scrapes every 15 s, vmalert evaluates by its default each minute, Alertmanager waits 30 s; three failures of five are enough"},
				func(_ context.Context, to *watcher) error { return r.victoria(to, pace{"15s", "", "30s", "5m"}) }}},
		{{watcher{name: promSecond, what: "the same with 1 s everywhere and no wait; three failures of five are enough"},
			func(_ context.Context, to *watcher) error { return r.prometheus(to, second) }}},
		{{watcher{name: victoriaSecond, what: "the same with 1 s everywhere, no delay of queries and no wait; three failures of five are enough"},
			func(_ context.Context, to *watcher) error {
				return r.victoria(to, second, "-search.latencyOffset=0s", "-rule.evalDelay=0s")
			}}},
	}
}

// nines starts a collector, to which the town's agents send until ctx ends.
func (r *fleetRace) nines(ctx context.Context, to *watcher) error {
	_, metrics, err := r.collector(to, filepath.Join(r.s.o.Root, "configs", "objectives"))
	if err != nil {
		return err
	}
	sent := make(chan error, partitions)
	for p := range int32(partitions) {
		go func() { sent <- r.town.send(ctx, r.s.client, p) }()
	}
	to.left = func() (err error) {
		for range partitions {
			err = errors.Join(err, <-sent)
		}
		return err
	}
	enough := samplesOf(metrics, 10*3*vantages) // ten rounds of each
	to.sees = func(ctx context.Context, hosts int) (bool, error) {
		lag, err := lags(ctx, metrics)
		if err != nil || lag > 2 {
			return false, err
		}
		return enough(ctx, hosts)
	}
	var worst float64
	to.late = func(ctx context.Context) (string, error) {
		lag, err := lags(ctx, metrics)
		worst = max(worst, lag)
		return fmt.Sprintf("at most %.1f s behind the log, frames left up to %.1f s late", worst, float64(r.town.late.Load())/1e3), err
	}
	return nil
}

// lags is how far the roles are behind the log, seconds.
func lags(ctx context.Context, metrics string) (float64, error) {
	text, err := program.Get(ctx, metrics)
	if err != nil {
		return 0, err
	}
	var most float64
	for line := range strings.Lines(text) {
		for _, role := range []string{"aggregate", "evaluate"} {
			if strings.HasPrefix(line, "nines_"+role+"_lag_seconds{") {
				n, _ := program.Metric(line, "nines_"+role+"_lag_seconds")
				most = max(most, n)
			}
		}
	}
	return most, nil
}

// stage runs contestants together from their start to their end. Who does not see
// the fleet in time takes no part in what follows.
func (r *fleetRace) stage(ctx context.Context, runners []runner) (out []Detection, err error) {
	r.town.heal()
	if r.hooks, err = newHooks(); err != nil {
		return nil, err
	}
	defer r.hooks.srv.Close()
	limit := r.limit(runners)
	if limit <= 0 {
		for i := range runners {
			out = append(out, r.missed(&runners[i].watcher, "was not started: the race's "+fleetBudget.String()+" were over"))
		}
		return out, nil
	}
	begun, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r.ctx = begun
	sending, stop := context.WithCancel(ctx)
	var all []*watcher
	defer func() {
		stop()
		for _, c := range all {
			if c.left != nil {
				err = errors.Join(err, c.left())
			}
			c.stop()
		}
	}()
	for _, run := range runners {
		to := run.watcher
		all = append(all, &to)
		if err := run.begin(sending, &to); err != nil {
			return nil, fmt.Errorf("start %s within %s: %w", to.name, limit.Round(time.Second), err)
		}
	}
	seeing, out, err := r.ready(begun, ctx, all)
	if err != nil || len(seeing) == 0 {
		return out, err
	}
	found, err := r.fail(ctx, seeing)
	return append(found, out...), err
}

// missed is what is told of a contestant that did not see the fleet in time.
func (r *fleetRace) missed(c *watcher, why string) Detection {
	fmt.Fprintf(r.s.o.Log, "fleet: %s %s\n", c.name, why)
	return Detection{Contestant: c.name, What: c.what, Shown: c.shown, Missed: why}
}

// limit is how long contestants may take to see the fleet: no longer than leaves
// time for the faults.
func (r *fleetRace) limit(runners []runner) time.Duration {
	var patience time.Duration
	for i := range runners {
		patience = max(patience, runners[i].patient())
	}
	return min(fleetLimit, time.Until(r.end)-time.Duration(len(r.faults))*fleetGap-patience)
}

// ready returns the contestants that see the fleet before begun ends, and what is
// to be told of the others.
func (r *fleetRace) ready(begun, ctx context.Context, all []*watcher) (seeing []*watcher, missed []Detection, err error) {
	for _, c := range all {
		g, err := r.s.measureCores(c)
		if err != nil {
			return nil, nil, err
		}
		began := time.Now()
		err = program.Until(begun, c.name+" sees the fleet", c.ps, seldom(fleetLook, func() (bool, error) {
			n := len(r.town.hosts)
			if c.left == nil {
				n *= vantages // each a series there
			}
			return c.sees(begun, n)
		}))
		switch {
		case err == nil:
			fmt.Fprintf(r.s.o.Log, "fleet: %s sees %d hosts after %.0f s\n", c.name, len(r.town.hosts), time.Since(began).Seconds())
			seeing = append(seeing, c)
			continue
		case begun.Err() == nil || ctx.Err() != nil:
			return nil, nil, err
		}
		d := r.missed(c, fmt.Sprintf("did not see %d hosts within %.0f s", len(r.town.hosts), time.Since(began).Seconds()))
		if d.Cores, d.By, err = g.read(); err != nil {
			return nil, nil, err
		}
		d.Late, _ = c.late(ctx) // it may be too busy to say
		fmt.Fprintf(r.s.o.Log, "fleet: %s; %s\n", d.Late, d.By)
		missed = append(missed, d)
	}
	return seeing, missed, nil
}

// seldom asks no more often than that.
func seldom(every time.Duration, ask func() (bool, error)) func() (bool, error) {
	var last time.Time
	return func() (bool, error) {
		if time.Since(last) < every {
			return false, nil
		}
		last = time.Now()
		return ask()
	}
}

// fail lets one fault happen after the other, and waits until all were told.
func (r *fleetRace) fail(ctx context.Context, all []*watcher) ([]Detection, error) {
	out := make([]Detection, len(all))
	gauges := make([]*gauge, len(all))
	var ps []*program.Process
	var patience time.Duration
	var err error
	for i, c := range all {
		out[i] = Detection{Contestant: c.name, What: c.what, Shown: c.shown}
		ps, patience = append(ps, c.ps...), max(patience, c.patient())
		if gauges[i], err = r.s.measureCores(c); err != nil {
			return nil, err
		}
	}
	r.town.late.Store(0)
	tick := time.NewTicker(fleetGap)
	defer tick.Stop()
	for _, f := range r.faults {
		f.at = time.Now()
		for _, i := range f.hosts {
			r.town.failed[i].Store(f.at.UnixMilli())
		}
		for i, c := range all {
			if out[i].Late, err = c.late(ctx); err != nil {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
	for i := range all {
		if out[i].Cores, out[i].By, err = gauges[i].read(); err != nil {
			return nil, err
		}
	}
	last := time.Now()
	if err := program.Until(ctx, "everybody has told", ps, func() (bool, error) { return r.toldAll(all) || time.Since(last) > patience, nil }); err != nil {
		return nil, err
	}
	for i, c := range all {
		r.result(c, &out[i])
	}
	return out, nil
}

func (r *fleetRace) toldAll(all []*watcher) bool {
	for _, c := range all {
		for _, f := range r.faults {
			if _, _, ok := r.told(c, f); !ok {
				return false
			}
		}
	}
	return true
}

// told returns when the first and the last host of a fault were told of; it is not
// ok before all are.
func (r *fleetRace) told(c *watcher, f *fault) (first, last time.Time, ok bool) {
	for n, i := range f.hosts {
		at, ok := r.hooks.told(c.name, r.town.hosts[i].name)
		if !ok {
			return first, last, false
		}
		if n == 0 || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	return first, last, true
}
