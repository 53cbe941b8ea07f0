// Package discovery keeps the list of probe targets that Prometheus file_sd
// files (JSON and YAML, with globs) and http_sd URLs name. Files are re-read
// when their directory changes, and on a slow poll for what notification
// misses (network file systems, a directory that appears later).
//
// It promises that a broken source never takes targets away: the last good
// list of that file or URL stays, the fault is reported once per change as
// file:line:col, counted, and shown by Faults. A file that is deleted takes its
// targets with it, as in Prometheus. package agent/probe calls it.
package discovery

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Target is one thing to probe.
type Target struct {
	// Address is what the source wrote: a URL, host:port, host or address.
	Address string
	// Labels are the target's labels. Those that start with "__" are
	// parameters for whoever probes it, not labels of series.
	Labels map[string]string
}

// Options say where targets come from.
type Options struct {
	// Name tells several discoveries apart in metrics and logs, e.g. the job.
	Name string
	// Files are paths of .json, .yml or .yaml files; the last element may be a
	// glob (targets/*.yml).
	Files []string
	// URLs are http_sd end points.
	URLs []string
	// Poll is how often files are read although nothing announced a change;
	// 0 means 30 s.
	Poll time.Duration
	// HTTPInterval is how often URLs are asked; 0 means 60 s.
	HTTPInterval time.Duration
	// Client asks the URLs; nil means one with a time limit of 10 s.
	Client *http.Client
	// Log takes a line per change of a source's health; nil means none.
	Log *slog.Logger
	// Metrics takes nines_discovery_*; nil means none.
	Metrics *metrics.Set
	// OnChange is called with the whole list, sorted by source, without
	// duplicates: once after the first reading of the files, then after every
	// change. Calls do not overlap. The callee must not change the labels.
	OnChange func([]Target)
}

// Discovery watches sources. It is created by New and runs once.
type Discovery struct {
	opt Options
	log *slog.Logger
	set *metrics.Set

	mu      sync.Mutex // guards sources
	sources map[string]*source

	publishing sync.Mutex // guards last and first, and keeps OnChange calls apart
	last       string     // digest of the list that was handed out last
	first      bool
}

// source is one file or URL: its last good targets and its current fault.
type source struct {
	content string // what was read last, good or not
	targets []Target
	fault   string
}

// New checks the options. It reads nothing and starts nothing.
func New(opt Options) (*Discovery, error) {
	for _, f := range opt.Files {
		if err := CheckPattern(f); err != nil {
			return nil, err
		}
	}
	for _, u := range opt.URLs {
		if err := CheckURL(u); err != nil {
			return nil, err
		}
	}
	if opt.Poll <= 0 {
		opt.Poll = 30 * time.Second
	}
	if opt.HTTPInterval <= 0 {
		opt.HTTPInterval = time.Minute
	}
	if opt.Client == nil {
		opt.Client = &http.Client{Timeout: 10 * time.Second}
	}
	if opt.OnChange == nil {
		opt.OnChange = func([]Target) {}
	}
	d := &Discovery{opt: opt, log: opt.Log, set: opt.Metrics, sources: map[string]*source{}, first: true}
	if d.log == nil {
		d.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if d.set == nil {
		d.set = metrics.NewSet()
	}
	return d, nil
}

// Run reads the files, hands the targets out, and goes on doing so at every
// change until ctx ends. It returns nil then, and leaves no goroutine behind.
func (d *Discovery) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, u := range d.opt.URLs {
		wg.Go(func() { d.pollURL(ctx, u) })
	}
	d.watchFiles(ctx)
	return nil
}

// Faults returns what is wrong with the sources now, sorted; empty when all
// are well.
func (d *Discovery) Faults() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, name := range d.sortedLocked() {
		if f := d.sources[name].fault; f != "" {
			out = append(out, f)
		}
	}
	return out
}

// update records what a source said. It returns without effect when neither
// content nor fault changed.
func (d *Discovery) update(name, content string, targets []Target, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.sources[name]
	if s == nil {
		s = &source{}
		d.sources[name] = s
	}
	s.content = content
	if err == nil {
		if s.fault != "" {
			d.log.Info("targets are readable again", "discovery", d.opt.Name, "source", name, "targets", len(targets))
		}
		s.targets, s.fault = targets, ""
		d.gauge("broken", name).Set(0)
		return
	}
	if err.Error() != s.fault {
		s.fault = err.Error()
		d.counter("errors_total", name).Inc()
		d.log.Error("read targets: keeping the last good ones of this source",
			"discovery", d.opt.Name, "error", err, "kept", len(s.targets))
	}
	d.gauge("broken", name).Set(1)
}

// forget drops a source that exists no more, with its targets.
func (d *Discovery) forget(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.sources[name]
	if s == nil {
		return
	}
	d.log.Warn("targets file is gone: dropping its targets", "discovery", d.opt.Name, "source", name, "targets", len(s.targets))
	delete(d.sources, name)
	d.set.UnregisterMetric(d.metric("broken", name))
}

// publish hands the list out if it is not the one handed out last.
func (d *Discovery) publish() {
	d.publishing.Lock()
	defer d.publishing.Unlock()
	list, digest := d.list()
	if !d.first && digest == d.last {
		return
	}
	d.first, d.last = false, digest
	d.gauge("targets", "").Set(float64(len(list)))
	d.counter("changes_total", "").Inc()
	d.opt.OnChange(list)
}

// list returns the targets of all sources without duplicates, and a text that
// differs where the list does.
func (d *Discovery) list() ([]Target, string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []Target
	var digest strings.Builder
	seen := map[string]bool{}
	for _, name := range d.sortedLocked() {
		for _, t := range d.sources[name].targets {
			k := t.key()
			if !seen[k] {
				seen[k] = true
				list = append(list, t)
				digest.WriteString(k)
			}
		}
	}
	return list, digest.String()
}

func (d *Discovery) sortedLocked() []string {
	names := make([]string, 0, len(d.sources))
	for n := range d.sources {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// key identifies a target: its address and labels, in a canonical text.
func (t Target) key() string {
	names := make([]string, 0, len(t.Labels))
	for n := range t.Labels {
		names = append(names, n)
	}
	slices.Sort(names)
	var b strings.Builder
	fmt.Fprintf(&b, "%q{", t.Address)
	for _, n := range names {
		fmt.Fprintf(&b, "%s=%q,", n, t.Labels[n])
	}
	b.WriteString("}\n")
	return b.String()
}

func (d *Discovery) metric(name, source string) string {
	if source == "" {
		return fmt.Sprintf("nines_discovery_%s{name=%q}", name, d.opt.Name)
	}
	return fmt.Sprintf("nines_discovery_%s{name=%q,source=%q}", name, d.opt.Name, source)
}

func (d *Discovery) counter(name, source string) *metrics.Counter {
	return d.set.GetOrCreateCounter(d.metric(name, source))
}

func (d *Discovery) gauge(name, source string) *metrics.Gauge {
	return d.set.GetOrCreateGauge(d.metric(name, source), nil)
}
