package collector

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nines/bench/program"
)

const (
	// fleetFaults is how many faults a run has, the last of them a zone.
	fleetFaults = 6
	// fleetGap lies between them, no multiple of anybody's interval.
	fleetGap = 2570 * time.Millisecond
	// fleetLimit is how long a contestant may take until it sees the fleet: on a
	// busy machine 10,000 hosts are not met within the usual limit.
	fleetLimit = 5 * time.Minute
)

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
}

// DetectFleet lets hosts and zones of a fleet fail, fleetFaults in each run, and
// returns how long each contestant took to tell of each. It is done once for all
// runs.
func (s *Session) DetectFleet(ctx context.Context, runs int) ([]Detection, error) {
	if s.detectedFleet != nil {
		return s.detectedFleet, nil
	}
	if err := s.alone(ctx); err != nil {
		return nil, err
	}
	r := &fleetRace{watching: &watching{s: s, rule: probeRule, well: "count(probe_success==1)"}, runs: runs}
	var err error
	if r.town, err = newTown(s.o.Root, s.o.Fleet); err != nil {
		return nil, err
	}
	if r.faults, err = r.town.faults(runs*fleetFaults, fleetFaults); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	exporter := &http.Server{Handler: r.town}
	defer exporter.Close()
	go func() { _ = exporter.Serve(l) }()
	for k := range vantages {
		r.jobs += fmt.Sprintf(exporterJob, k, l.Addr())
	}
	for _, stage := range r.stages() {
		found, err := r.stage(ctx, stage)
		if err != nil {
			return nil, err
		}
		s.detectedFleet = append(s.detectedFleet, found...)
	}
	return s.detectedFleet, nil
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

// stage runs contestants together from their start to their end.
func (r *fleetRace) stage(ctx context.Context, runners []runner) ([]Detection, error) {
	r.town.heal()
	var err error
	if r.hooks, err = newHooks(); err != nil {
		return nil, err
	}
	defer r.hooks.srv.Close()
	begun, cancel := context.WithTimeout(ctx, fleetLimit)
	defer cancel()
	r.ctx = begun
	sending, stop := context.WithCancel(ctx)
	var all []*watcher
	end := func() (err error) {
		stop()
		for _, c := range all {
			if c.left != nil {
				err = errors.Join(err, c.left())
			}
			c.stop()
		}
		all = nil
		return err
	}
	defer func() { _ = end() }() // where something else has failed, or nothing is left
	for _, run := range runners {
		to := run.watcher
		all = append(all, &to)
		if err := run.begin(sending, &to); err != nil {
			return nil, fmt.Errorf("start %s: %w", to.name, err)
		}
	}
	for _, c := range all {
		if err := program.Until(begun, c.name+" sees the fleet", c.ps, func() (bool, error) {
			n := len(r.town.hosts)
			if c.left == nil {
				n *= vantages // each a series there
			}
			return c.sees(begun, n)
		}); err != nil {
			return nil, err
		}
	}
	out, err := r.fail(ctx, all)
	return out, errors.Join(err, end())
}

// fail lets one fault happen after the other, and waits until all were told.
func (r *fleetRace) fail(ctx context.Context, all []*watcher) ([]Detection, error) {
	out := make([]Detection, len(all))
	before := make([]time.Duration, len(all))
	for i, c := range all {
		out[i] = Detection{Contestant: c.name, What: c.what, Shown: c.shown}
		before[i] = c.cpu()
	}
	r.town.late.Store(0)
	began := time.Now()
	tick := time.NewTicker(fleetGap)
	defer tick.Stop()
	for _, f := range r.faults {
		f.at = time.Now()
		for _, i := range f.hosts {
			r.town.failed[i].Store(f.at.UnixMilli())
		}
		for i, c := range all {
			var err error
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
	var ps []*program.Process
	for i, c := range all {
		out[i].Cores = (c.cpu() - before[i]).Seconds() / time.Since(began).Seconds()
		ps = append(ps, c.ps...)
	}
	last := time.Now()
	if err := program.Until(ctx, "everybody has told", ps, func() (bool, error) { return r.toldAll(all) || time.Since(last) > forgiven, nil }); err != nil {
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

// result fills in how long each fault took, run by run, and counts the hosts that
// were told of before they failed, or did not fail at all.
func (r *fleetRace) result(c *watcher, d *Detection) {
	for run := range r.runs {
		var took []float64
		for _, f := range r.faults[run*fleetFaults : (run+1)*fleetFaults] {
			seconds, whole := math.Inf(1), math.Inf(1)
			if first, last, ok := r.told(c, f); ok {
				seconds, whole = first.Sub(f.at).Seconds(), last.Sub(f.at).Seconds()
			}
			took = append(took, seconds)
			if f.zone != "" {
				d.Whole = append(d.Whole, whole)
			}
		}
		slices.Sort(took)
		d.Seconds = append(d.Seconds, took)
	}
	slices.Sort(d.Whole)
	for i := range r.town.hosts {
		at, ok := r.hooks.told(c.name, r.town.hosts[i].name)
		if since := r.town.failed[i].Load(); ok && (since == 0 || at.UnixMilli() < since) {
			d.False++
		}
	}
	v := d.all()
	fmt.Fprintf(r.s.o.Log, "fleet: %-22s p50 %6.2f s, p99 %6.2f s, max %6.2f s, whole zones %6.2f s, %.2f cores, %s, %d false\n",
		d.Contestant, Percentile(v, 0.5), Percentile(v, 0.99), v[len(v)-1], d.Whole[len(d.Whole)-1], d.Cores, d.Late, d.False)
}

// fleetDetections tells them.
func (s *Session) fleetDetections(b *strings.Builder) {
	if len(s.detectedFleet) == 0 {
		return
	}
	fmt.Fprintf(b, "## From fault to webhook, %d hosts\n\nEach host is probed every second from %d others in other zones. A host fails, five times a run, and then a whole zone, each %s after the one before; their agents fail with them. Seconds until a webhook tells of the fault, and at most until webhooks have told of every host of a zone. Cores are CPU seconds a second while that goes on; who looks each second runs alone, the two at their defaults together. False are hosts that were told of and had not failed.\n\n",
		s.o.Fleet, vantages, fleetGap)
	b.WriteString("| contestant | how it looks | p50 | p99 | max | whole zone, max | faults | cores | kept up | false |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, d := range s.detectedFleet {
		v := d.all()
		fmt.Fprintf(b, "| %s | %s | %.2f | %.2f | %.2f | %.2f | %d | %.2f | %s | %d |\n", d.Contestant, d.What, Percentile(v, 0.5), Percentile(v, 0.99), v[len(v)-1], d.Whole[len(d.Whole)-1], len(v), d.Cores, d.Late, d.False)
	}
	everyFault(b, s.detectedFleet)
}
