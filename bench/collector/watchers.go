package collector

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"nines/bench/program"
)

// watcher is a contestant in the race from fault to webhook.
type watcher struct {
	name, what string
	slow       bool // waits by minutes
	ps         []*program.Process
	shown      []string
	// sees tells whether it has every target well.
	sees func(ctx context.Context, targets int) (bool, error)
	// late says, in words, what it could not do in time until now.
	late func(ctx context.Context) (string, error)
	// left, where set, waits until nobody sends to it any more.
	left func() error
}

func (w *watcher) stop() {
	for i := len(w.ps) - 1; i >= 0; i-- {
		w.ps[i].Stop()
	}
}

// pace is how often others look and how long they wait.
type pace struct{ scrape, evaluate, wait, interval string }

// watching is what all watchers share.
type watching struct {
	s       *Session
	ctx     context.Context // of starting
	hooks   *hooks
	targets []*target
	// jobs are what the stores scrape, rule is what they alert by, and well counts
	// the series of targets that are well.
	jobs, rule, well string
}

// file writes a file of a watcher and returns its name and text.
func file(dir, name, format string, args ...any) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o644)
}

const alertmanagerConfig = `route: {receiver: hook, group_by: [target, instance], group_wait: %s, group_interval: %s}
receivers:
  - name: hook
    webhook_configs: [{url: %q}]
`

const scrapeConfig = `global:
  scrape_interval: %s
%sscrape_configs:
%s`

const scrapeTargets = `  - job_name: targets
    static_configs: [{targets: [%s]}]
`

const upRule = `groups:
- name: up
  rules:
  - alert: TargetDown
    expr: up{job="targets"} == 0
    labels: {severity: page}
`

const upWell = `count(up{job="targets"}==1)`

func (w *watching) addresses() string {
	var out []string
	for _, t := range w.targets {
		out = append(out, fmt.Sprintf("%q", t.addr))
	}
	return strings.Join(out, ", ")
}

// run starts one program of a watcher and keeps it for the report.
func (w *watching) run(to *watcher, dir, name, config, binary string, args ...string) error {
	p, err := program.Start(dir, name, binary, args...)
	if err != nil {
		return err
	}
	to.ps = append(to.ps, p)
	if len(w.targets) > 0 {
		config = strings.ReplaceAll(config, w.addresses(), "TARGETS")
	}
	to.shown = append(to.shown, w.s.shown(p, config))
	return nil
}

// alertmanager starts Debian's Alertmanager for a watcher.
func (w *watching) alertmanager(to *watcher, dir, at string, p pace) error {
	text := fmt.Sprintf(alertmanagerConfig, p.wait, p.interval, w.hooks.url+to.name)
	config, err := file(dir, "alertmanager.yml", "%s", text)
	if err != nil {
		return err
	}
	return w.run(to, dir, "alertmanager", text, w.s.tools.alertmanager, "--config.file="+config, "--storage.path="+filepath.Join(dir, "am"),
		"--web.listen-address="+at, "--cluster.listen-address=")
}

// prometheus starts Prometheus and Alertmanager.
func (w *watching) prometheus(to *watcher, p pace) error {
	dir, err := w.s.folder(to.name)
	if err != nil {
		return err
	}
	at, err := program.Ports(2)
	if err != nil {
		return err
	}
	rules, err := file(dir, "rules.yml", "%s", w.rule)
	if err != nil {
		return err
	}
	text := fmt.Sprintf(scrapeConfig, p.scrape, fmt.Sprintf("  evaluation_interval: %s\nrule_files: [%s]\nalerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}\n", p.evaluate, rules, at[1]), w.jobs)
	config, err := file(dir, "prometheus.yml", "%s", text)
	if err != nil {
		return err
	}
	if err := w.alertmanager(to, dir, at[1], p); err != nil {
		return err
	}
	to.sees = w.counts("http://"+at[0], "")
	to.late = lateOf("http://"+at[0]+"/metrics", "evaluations left out", "prometheus_rule_group_iterations_missed_total")
	return w.run(to, dir, "prometheus", text+"\n"+w.rule, w.s.tools.prometheus, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+at[0])
}

// victoria starts VictoriaMetrics, which scrapes, vmalert and Alertmanager.
func (w *watching) victoria(to *watcher, p pace, flags ...string) error {
	dir, err := w.s.folder(to.name)
	if err != nil {
		return err
	}
	at, err := program.Ports(3)
	if err != nil {
		return err
	}
	rules, err := file(dir, "rules.yml", "%s", w.rule)
	if err != nil {
		return err
	}
	text := fmt.Sprintf(scrapeConfig, p.scrape, "", w.jobs)
	config, err := file(dir, "scrape.yml", "%s", text)
	if err != nil {
		return err
	}
	if err := w.alertmanager(to, dir, at[1], p); err != nil {
		return err
	}
	var store, alert []string
	for _, f := range flags {
		if strings.HasPrefix(f, "-search") {
			store = append(store, f)
		} else {
			alert = append(alert, f)
		}
	}
	if p.evaluate != "" {
		alert = append(alert, "-evaluationInterval="+p.evaluate)
	}
	if err := w.run(to, dir, "victoria-metrics", text, w.s.tools.victoria, append([]string{"-storageDataPath=" + filepath.Join(dir, "data"),
		"-httpListenAddr=" + at[0], "-promscrape.config=" + config}, store...)...); err != nil {
		return err
	}
	to.sees = w.counts("http://"+at[0], "&latency_offset=1s")
	to.late = lateOf("http://"+at[2]+"/metrics", "evaluations left out", "vmalert_iteration_missed_total")
	if err := program.Until(w.ctx, "VictoriaMetrics answers", to.ps, answers(w.ctx, "http://"+at[0]+"/health")); err != nil {
		return err
	}
	return w.run(to, dir, "vmalert", w.rule, w.s.tools.vmalert, append([]string{"-rule=" + rules, "-datasource.url=http://" + at[0],
		"-notifier.url=http://" + at[1], "-httpListenAddr=" + at[2]}, alert...)...)
}

// counts asks a store of series whether all targets are well.
func (w *watching) counts(store, more string) func(context.Context, int) (bool, error) {
	return func(ctx context.Context, targets int) (bool, error) {
		text, err := program.Get(ctx, store+"/api/v1/query?query="+url.QueryEscape(w.well)+more)
		return err == nil && strings.Contains(text, fmt.Sprintf(`,"%d"]`, targets)), nil
	}
}

// lateOf tells a counter of a program's own metrics.
func lateOf(metrics, what, counter string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		text, err := program.Get(ctx, metrics)
		n, _ := program.Metric(text, counter)
		return fmt.Sprintf("%d %s", int(n), what), err
	}
}

const watchConfig = `kafka: {brokers: [%q]}
topics: {telemetry_partitions: %d}
objectives: [%s]
alerting: {alertmanager_file: %s}
web: {listen: %q}
`

const agentConfig = `agent: prober-%d
labels: {zone: %s, region: %s}
kafka: {brokers: [%q]}
probes:
  jobs:
    - {name: targets, probe: http, targets: [%s]}
`

// vantages is how many agents probe each target.
const vantages = 5

// nines starts a collector and agents that probe the targets from five zones.
// The objectives are those given, or the ones that ship.
func (w *watching) nines(to *watcher, objectives string) error {
	dir, metrics, err := w.collector(to, objectives)
	if err != nil {
		return err
	}
	for i := range vantages {
		h := w.s.fleet.hosts[i]
		text := fmt.Sprintf(agentConfig, i+1, h.zone, h.region, w.s.brokers(), w.addresses())
		config, err := file(dir, fmt.Sprintf("agent-%d.yaml", i+1), "%s", text)
		if err != nil {
			return err
		}
		if err := w.run(to, dir, fmt.Sprintf("agent-%d", i+1), text, w.s.tools.agent, "--config", config); err != nil {
			return err
		}
	}
	to.shown = to.shown[:2]                   // agents are alike
	to.sees = samplesOf(metrics, 30*vantages) // some ten rounds of each
	return nil
}

// collector starts nines without agents and returns its folder and where its
// metrics are.
func (w *watching) collector(to *watcher, objectives string) (dir, metrics string, err error) {
	if dir, err = w.s.folder(to.name); err != nil {
		return "", "", err
	}
	at, err := program.Ports(1)
	if err != nil {
		return "", "", err
	}
	am, err := file(dir, "alertmanager.yml", alertmanagerConfig, "30s", "5m", w.hooks.url+to.name)
	if err != nil {
		return "", "", err
	}
	text := fmt.Sprintf(watchConfig, w.s.brokers(), partitions, objectives, am, at[0])
	config, err := file(dir, "nines.yaml", "%s", text)
	if err != nil {
		return "", "", err
	}
	w.s.dirty = true
	if err := w.run(to, dir, "nines", text, w.s.tools.nines, "collector", "--config", config, "--data-dir", filepath.Join(dir, "data"), "--roles", "aggregate,evaluate,notify,web"); err != nil {
		return "", "", err
	}
	err = program.Until(w.ctx, "nines answers", to.ps, answers(w.ctx, "http://"+at[0]+"/-/ready"))
	return dir, "http://" + at[0] + "/metrics", err
}

// samplesOf tells whether so many samples of each target were counted.
func samplesOf(metrics string, each int) func(context.Context, int) (bool, error) {
	return func(ctx context.Context, targets int) (bool, error) {
		text, err := program.Get(ctx, metrics)
		n, _ := program.Metric(text, "nines_aggregate_samples_total")
		return err == nil && int(n) >= each*targets, nil
	}
}
