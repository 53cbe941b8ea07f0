package collector

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"nines/bench/program"
)

// Victoria is Telegraf, VictoriaMetrics and vmalert.
func Victoria() Contestant {
	return Contestant{"VictoriaMetrics + vmalert", "Telegraf, tuned → VictoriaMetrics; then vmalert judges the whole log each second",
		func(ctx context.Context, s *Session, dir string) (*Measurement, error) {
			return s.runVictoria(ctx, dir)
		}}
}

// Prometheus is Telegraf, Prometheus and its recording rules.
func Prometheus() Contestant {
	return Contestant{"Prometheus", "Telegraf, tuned → remote write → Prometheus; then the recording rules over the whole log each second, by promtool",
		func(ctx context.Context, s *Session, dir string) (*Measurement, error) {
			return s.runPrometheus(ctx, dir)
		}}
}

func (s *Session) runVictoria(ctx context.Context, dir string) (*Measurement, error) {
	at, err := program.Ports(2)
	if err != nil {
		return nil, err
	}
	vm, err := program.Start(dir, "victoria-metrics", s.tools.victoria, "-storageDataPath="+filepath.Join(dir, "data"), "-httpListenAddr="+at[0], "-retentionPeriod=1y")
	if err != nil {
		return nil, err
	}
	defer vm.Stop()
	store := "http://" + at[0]
	if err := program.Until(ctx, "VictoriaMetrics answers", []*program.Process{vm}, answers(ctx, store+"/health")); err != nil {
		return nil, err
	}
	t, err := s.startTelegraf(dir, topicShort, agentTuned, undelivered, fmt.Sprintf("[[outputs.influxdb]]\n  urls = [%q]\n  skip_database_creation = true\n", store))
	if err != nil {
		return nil, err
	}
	defer t.Stop()
	if err := s.delivered(ctx, t, topicShort); err != nil {
		return nil, err
	}
	if err := s.holds(ctx, store+"/metrics", `vm_rows_inserted_total{type="influx"}`); err != nil {
		return nil, err
	}
	feed, err := t.Usage()
	if err != nil {
		return nil, err
	}
	m := &Measurement{Samples: s.samples(s.o.Short), Processes: []program.Usage{feed}, Shown: []string{s.shown(vm, ""), s.shown(t, configOf(t))}}
	for _, rules := range []string{"recordings", "alerts"} {
		if _, err := program.Get(ctx, store+"/internal/force_flush"); err != nil {
			return nil, err
		}
		p, err := program.Start(dir, "vmalert, "+rules, s.tools.vmalert, "-rule="+filepath.Join(s.dir, rules+".yaml"), "-datasource.url="+store, "-remoteWrite.url="+store,
			"-httpListenAddr="+at[1], "-replay.timeFrom="+s.stamp(0), "-replay.timeTo="+s.stamp(s.o.Short), "-replay.rulesDelay=0s", "-replay.disableProgressBar")
		if err != nil {
			return nil, err
		}
		u, err := p.Wait(ctx)
		if err != nil {
			return nil, err
		}
		m.Processes = append(m.Processes, u)
		m.Shown = append(m.Shown, s.shown(p, ""))
	}
	u, err := vm.Usage()
	m.Processes = slices.Insert(m.Processes, 1, u)
	return m, err
}

func (s *Session) runPrometheus(ctx context.Context, dir string) (*Measurement, error) {
	at, err := program.Ports(1)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {}\n"), 0o644); err != nil {
		return nil, err
	}
	prom, err := program.Start(dir, "prometheus", s.tools.prometheus, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+at[0], "--web.enable-remote-write-receiver")
	if err != nil {
		return nil, err
	}
	defer prom.Stop()
	store := "http://" + at[0]
	if err := program.Until(ctx, "Prometheus answers", []*program.Process{prom}, answers(ctx, store+"/-/ready")); err != nil {
		return nil, err
	}
	t, err := s.startTelegraf(dir, topicShort, s.agentForRemoteWrite(), undelivered, fmt.Sprintf(remoteWrite, store))
	if err != nil {
		return nil, err
	}
	defer t.Stop()
	if err := s.delivered(ctx, t, topicShort); err != nil {
		return nil, err
	}
	if err := s.holds(ctx, store+"/metrics", "prometheus_tsdb_head_samples_appended_total"); err != nil {
		return nil, err
	}
	feed, err := t.Usage()
	if err != nil {
		return nil, err
	}
	tool, err := program.Start(dir, "promtool", s.tools.promtool, "tsdb", "create-blocks-from", "rules", "--url="+store, "--start="+s.stamp(0), "--end="+s.stamp(s.o.Short),
		"--eval-interval=1s", "--output-dir="+filepath.Join(dir, "blocks"), filepath.Join(s.dir, "recordings.yaml"))
	if err != nil {
		return nil, err
	}
	rules, err := tool.Wait(ctx)
	if err != nil {
		return nil, err
	}
	u, err := prom.Usage()
	return &Measurement{Samples: s.samples(s.o.Short), Processes: []program.Usage{feed, u, rules},
		Shown: []string{s.shown(prom, "global: {}\n"), s.shown(t, configOf(t)), s.shown(tool, "")}}, err
}

// agentForRemoteWrite is agentTuned with batches in which no series comes twice:
// Telegraf's serializer keeps but the newest sample of each.
func (s *Session) agentForRemoteWrite() string {
	batch := min(5000, s.o.Hosts*len(s.fleet.inputs)/partitions/2)
	return strings.Replace(agentTuned, "5000", strconv.Itoa(batch), 1)
}

const remoteWrite = `[[outputs.http]]
  url = "%s/api/v1/write"
  data_format = "prometheusremotewrite"
  [outputs.http.headers]
    Content-Type = "application/x-protobuf"
    Content-Encoding = "snappy"
    X-Prometheus-Remote-Write-Version = "0.1.0"
`

// answers tells whether a URL is served.
func answers(ctx context.Context, url string) func() (bool, error) {
	return func() (bool, error) {
		_, err := program.Get(ctx, url)
		return err == nil, nil
	}
}

// holds checks that a store took every sample of the short topic.
func (s *Session) holds(ctx context.Context, url, name string) error {
	text, err := program.Get(ctx, url)
	if err != nil {
		return err
	}
	if n, _ := program.Metric(text, name); int(n) < s.samples(s.o.Short) {
		return fmt.Errorf("%s says that it has %d samples of %d", url, int(n), s.samples(s.o.Short))
	}
	return nil
}

// stamp is a time of the log, in seconds from its begin.
func (s *Session) stamp(second int) string {
	return time.UnixMilli(s.begin).Add(time.Duration(second) * time.Second).UTC().Format(time.RFC3339)
}
