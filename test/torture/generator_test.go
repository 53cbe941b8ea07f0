package torture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"nines/internal/telemetry"
)

// roundEvery is the generator's interval.
const roundEvery = 250 * time.Millisecond

// metricRound numbers the rounds of a boot, so that each is recognised in the
// log whatever the clocks say.
const metricRound = "torture_round"

// variants are the schemas that agents change between: which targets are
// probed and which applications counted.
var variants = [][2][]string{
	{{"t0", "t1", "t2"}, {"a0", "a1"}},
	{{"t0", "t1", "t3"}, {"a0"}},
	{{"t0", "t1", "t2", "t3"}, {"a0", "a1", "a2"}},
}

// truth is one round as the generator handed it over; it is written first.
type truth struct {
	N      int
	T      int64 // sample time
	At     int64 // the machine's clock
	Values map[string]float64
}

type generator struct {
	conf           agentConf
	dice           *rand.Rand
	file           *os.File
	n              int
	reset, variant atomic.Int64
	quiet          atomic.Bool
	counts         map[string]float64 // the process's own counters since it began; failures to come
	schemas        []*telemetry.Schema
	err            error
}

func newGenerator(c agentConf) *generator {
	g := &generator{conf: c, dice: rand.New(rand.NewPCG(c.Seed, uint64(c.Epoch))), counts: map[string]float64{}}
	g.reset.Store(c.Reset)
	g.variant.Store(int64(c.Variant))
	for _, v := range variants {
		g.schemas = append(g.schemas, schemaOf(v, c.Bulk))
	}
	return g
}

func schemaOf(v [2][]string, bulk int) *telemetry.Schema {
	series := []telemetry.Series{{Name: metricRound, Kind: telemetry.Gauge}}
	add := func(name string, kind telemetry.Kind, fresh bool, label, value string) {
		s := telemetry.Series{Name: name, Kind: kind, Fresh: fresh}
		if label != "" {
			s.Labels = telemetry.NewLabels(map[string]string{label: value})
		}
		series = append(series, s)
	}
	for _, t := range v[0] {
		add("probe_success", telemetry.Gauge, false, "target", t)
	}
	for _, a := range v[1] {
		add("app_requests_total", telemetry.Counter, true, "app", a)
		add("app_failed_total", telemetry.Counter, true, "app", a)
	}
	add("host_packets_total", telemetry.Counter, false, "", "")
	add("host_drops_total", telemetry.Counter, false, "", "")
	for i := range bulk {
		add("bulk", telemetry.Gauge, false, "i", fmt.Sprint(i))
	}
	return telemetry.NewSchema(series)
}

func (g *generator) open(boot uint64) (err error) {
	g.file, err = os.Create(filepath.Join(g.conf.Dir, fmt.Sprintf("%s-%016x.jsonl", g.conf.Name, boot)))
	return err
}

func (g *generator) run(ctx context.Context, clock func() int64, sink telemetry.Sink) {
	t := time.NewTicker(roundEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if g.quiet.Load() {
			continue
		}
		r, row := g.round(clock(), time.Now().UnixMilli())
		b, err := json.Marshal(row)
		if err == nil {
			_, err = g.file.Write(append(b, '\n'))
		}
		if err != nil {
			g.err = fmt.Errorf("write truth: %w", err)
			return
		}
		sink(r)
	}
}

// round measures once. The host's counters are a function of time, so that they outlive the process.
func (g *generator) round(now, at int64) (telemetry.Round, truth) {
	g.n++
	def := g.schemas[g.variant.Load()]
	row := truth{N: g.n, T: now, At: at, Values: map[string]float64{}}
	r := telemetry.Round{Schema: def, Time: now, Values: make([]float64, len(def.Series))}
	up := at - g.reset.Load()
	for i := range def.Series {
		s := &def.Series[i]
		v := 0.0
		switch s.Name {
		case metricRound:
			v = float64(g.n)
		case "probe_success":
			if g.succeeds(s.Labels.Get("target")) {
				v = 1
			}
			r.Urgent = r.Urgent || v == 0
		case "app_requests_total":
			g.counts[s.Labels.String()] = float64(g.dice.IntN(20))
			g.counts[s.Name+s.Labels.String()] += g.counts[s.Labels.String()]
			v = g.counts[s.Name+s.Labels.String()]
		case "app_failed_total": // after the requests that it is part of
			if n := int(g.counts[s.Labels.String()]); n > 0 && g.dice.IntN(10) == 0 {
				g.counts[s.Name+s.Labels.String()] += float64(g.dice.IntN(n) + 1)
			}
			v = g.counts[s.Name+s.Labels.String()]
		case "host_packets_total":
			v = float64(up / 7)
		case "host_drops_total":
			v = float64(up / 700)
		case "bulk":
			r.Values[i] = g.dice.Float64()
			continue
		}
		r.Values[i] = v
		row.Values[s.Name+s.Labels.String()] = v
	}
	return r, row
}

// succeeds draws an outcome: targets fail now and then, and for some rounds.
func (g *generator) succeeds(target string) bool {
	left := g.counts[target]
	if left == 0 && g.dice.IntN(150) == 0 {
		left = float64(1 + g.dice.IntN(20))
	}
	g.counts[target] = max(left-1, 0)
	return left == 0
}

// readTruth returns what every boot handed over. A line that the kill cut short
// was not handed over.
func readTruth(dir string) (map[bootID][]truth, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	out := map[bootID][]truth{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var id bootID
		name := filepath.Base(file)
		if _, err := fmt.Sscanf(name, "a%1d-%x.jsonl", new(int), &id.boot); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		id.agent = name[:2]
		whole := text[:bytes.LastIndexByte(text, '\n')+1]
		for in := bufio.NewScanner(bytes.NewReader(whole)); in.Scan(); {
			var row truth
			if err := json.Unmarshal(in.Bytes(), &row); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			out[id] = append(out[id], row)
		}
	}
	return out, nil
}
