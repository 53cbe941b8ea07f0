package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nines/configs"
	"nines/internal/sim"
	"nines/internal/topology"
)

// simRequest is what the command line asks for.
type simRequest struct {
	kafkaFlags
	topology       []string
	script         string
	hosts, series  int
	speed, shard   string
	begin          string
	lasts          time.Duration
	truth          string
	seed           uint64
	regions        bool // a topic for each
	mesh, dry      bool
	rate           float64   // of speed
	part, parts    int       // of shard
	begins         time.Time // zero is once collectors are there
	out            io.Writer
	chosen, scaled bool // of seed; of frame-samples
}

func newSim(log *logs) *cobra.Command {
	q := simRequest{}
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Play a fleet of simulated hosts to any broker, with faults by a script",
		Long: `Plays hosts over a topology, with the load of a day, latencies of a map and
faults by a script, and sends what their agents would send, to the brokers of
--brokers, of --config (with its tls and sasl), or of the nines that runs with
--data-dir. Every host carries the label simulated="true": do not mix it with what
a contract counts.

--script is a Simulation that says what differs from the fleet that ships. At more
than real speed it begins in the past and ends now, because collectors refuse
samples from the future: slots are judged late, alerts come late. It stops by
itself after --duration, and on Ctrl-C once what it sent last is acknowledged.

Several processes play one fleet with --shard, and with --begin, so that it has one
time for its faults. What began late catches up.

With --truth it writes down everything that services' users measured; nines sim
verify holds a ledger against it. See docs/sim.md.`,
		Example: `  nines sim --hosts 200 --dry-run
  nines sim --hosts 200 --duration 5m --script faults.yaml --truth truth.jsonl
  nines sim --hosts 184 --mesh
  nines sim --config nines.yaml --hosts 10000 --speed 10x
  nines sim --config nines.yaml --hosts 10000 --shard 1/2 --begin 2026-11-22T10:00:00Z
  nines sim verify --truth truth.jsonl --data-dir data`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q.chosen, q.scaled = cmd.Flags().Changed("seed"), cmd.Flags().Changed("frame-samples")
			q.out = cmd.OutOrStdout()
			return q.run(cmd.Context(), log)
		},
	}
	q.addKafka(cmd)
	f := cmd.Flags()
	f.IntVar(&q.hosts, "hosts", 0, "hosts of the simulation's first entry, together (default as it says: 1000)")
	f.StringArrayVar(&q.topology, "topology", nil, "file or folder of regions and zones; may be repeated (default the 29 regions that ship)")
	f.StringVar(&q.script, "script", "", "what differs from the fleet that ships: hosts, services, faults")
	f.StringVar(&q.speed, "speed", "real", "how fast time passes: real, or so many times as fast, such as 10x")
	f.DurationVar(&q.lasts, "duration", 10*time.Minute, "how much of the fleet's time to play; 0 until it is stopped, at real speed")
	f.StringVar(&q.truth, "truth", "", "file for what was measured")
	f.Uint64Var(&q.seed, "seed", 1, "makes the same fleet twice")
	f.IntVar(&q.series, "frame-samples", 100, "samples that each host takes of itself in each frame")
	f.StringVar(&q.shard, "shard", "1/1", "part of the fleet to play, I/N: several side by side play it all")
	f.StringVar(&q.begin, "begin", "", "when to begin, RFC 3339, the same for all shards (default once collectors are there)")
	f.BoolVar(&q.mesh, "mesh", false, "let the hosts measure each other, as agents with a mesh do: the page's matrix")
	f.BoolVar(&q.regions, "region-topics", false, "send to nines.telemetry.REGION of each host's region; collectors need these topics in topics.formats")
	f.BoolVar(&q.dry, "dry-run", false, "say what would be played, and how dear it is on this machine; send nothing")
	cmd.AddCommand(newSimVerify(log))
	return cmd
}

// most hosts and samples that are played by one process, so that a typing
// mistake does not take the machine.
const (
	mostHosts  = 1_000_000
	mostSeries = 10_000
)

func (q *simRequest) check() (err error) {
	if q.hosts < 0 || q.hosts > mostHosts {
		return fmt.Errorf("sim: --hosts: want from 1 to %d, got %d", mostHosts, q.hosts)
	}
	if q.series < 1 || q.series > mostSeries {
		return fmt.Errorf("sim: --frame-samples: want from 35 to %d, got %d", mostSeries, q.series)
	}
	if q.rate, err = parseSpeed(q.speed); err != nil {
		return err
	}
	if q.part, q.parts, err = parseShard(q.shard); err != nil {
		return err
	}
	if q.begins, err = parseBegin(q.begin, time.Now()); err != nil {
		return err
	}
	if q.parts > 1 && q.begin == "" && !q.dry {
		return errors.New("sim: --shard: name one --begin for all shards, such as $(date -u -d +10sec +%FT%TZ): faults of a fleet strike all of it at once")
	}
	if q.lasts < 0 || q.lasts > 7*24*time.Hour {
		return fmt.Errorf("sim: --duration: want at most 168h, as far back as collectors believe a sample's time, got %s", q.lasts)
	}
	if q.lasts == 0 && q.rate != 1 {
		return errors.New("sim: --duration 0 plays until it is stopped, at real speed alone; name a duration with --speed")
	}
	return nil
}

// parseSpeed reads real, 10x or 10.
func parseSpeed(text string) (float64, error) {
	if text == "real" {
		return 1, nil
	}
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "x"), 64)
	if err != nil || math.IsNaN(v) || v < 1 || v > 100_000 {
		return 0, fmt.Errorf("sim: --speed: want real, or from 1x to 100000x, got %q", text)
	}
	return v, nil
}

// parseShard reads I/N, I counted from 1, and returns I counted from 0.
func parseShard(text string) (part, parts int, err error) {
	a, b, ok := strings.Cut(text, "/")
	part, errA := strconv.Atoi(a)
	parts, errB := strconv.Atoi(b)
	if !ok || errA != nil || errB != nil || part < 1 || part > parts || parts > 1000 {
		return 0, 0, fmt.Errorf("sim: --shard: want I/N such as 1/2, I from 1 to N and N at most 1000, got %q", text)
	}
	return part - 1, parts, nil
}

// farthest is how far from now a play may begin: collectors believe no sample
// that is a week old.
const farthest = 24 * time.Hour

// parseBegin reads a time near now; the zero time where none is given.
func parseBegin(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Sub(now).Abs() > farthest {
		return time.Time{}, fmt.Errorf("sim: --begin: want a time within a day of now in RFC 3339, such as %s, got %q", now.UTC().Format(time.RFC3339), text)
	}
	return t, nil
}

// read reads the simulation and where it is played.
func (q *simRequest) read() (sim.Config, *topology.Topology, error) {
	top, err := q.places()
	if err != nil {
		return sim.Config{}, nil, err
	}
	text, err := configs.Fleet()
	if err != nil {
		return sim.Config{}, nil, err
	}
	c, err := sim.Parse("fleet", text)
	if err == nil && q.script != "" {
		c, err = sim.LoadOver(c, q.script)
	}
	if err != nil {
		return sim.Config{}, nil, err
	}
	if q.chosen {
		c.Seed = q.seed
	}
	series := 0
	if q.scaled {
		series = q.series
	}
	if q.mesh {
		c = c.WithMesh()
	}
	return c.Scale(q.hosts, series), top, nil
}

func (q *simRequest) places() (*topology.Topology, error) {
	if len(q.topology) > 0 {
		return topology.Load(q.topology...)
	}
	text, err := configs.Topology()
	if err != nil {
		return nil, err
	}
	return topology.Parse("topology", text)
}

// start returns when the play begins, and the time of the first measurement:
// then, or as long before as lets the last one be at the end of the play. Both
// are whole seconds, so that shards agree.
func (q *simRequest) start(now time.Time) (begin time.Time, first int64) {
	begin = now
	if !q.begins.IsZero() {
		begin = q.begins
	}
	begin = begin.Truncate(time.Second)
	ahead := time.Duration(float64(q.lasts) * (1 - 1/q.rate))
	return begin, begin.Add(-ahead).Truncate(time.Second).UnixMilli()
}

func (q *simRequest) run(ctx context.Context, log *logs) error {
	if err := q.check(); err != nil {
		return err
	}
	c, top, err := q.read()
	if err != nil {
		return err
	}
	p := &simPlay{req: q, cfg: c, top: top, log: log.logger()}
	if q.dry {
		return p.trial()
	}
	client, err := q.open(log)
	if err != nil {
		return err
	}
	defer client.Close()
	return failed(p.run(ctx, client, os.Stderr))
}
