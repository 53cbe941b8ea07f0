package quiet

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// options are the flags of the package's tests.
type options struct {
	whole bool
	limit time.Duration
	seed  uint64
	part  int
	book  string
}

var given = func() *options {
	o := &options{}
	flag.BoolVar(&o.whole, "whole", false, "simulate the whole night of 10,000 targets, not an hour of a few")
	flag.DurationVar(&o.limit, "limit", 4*time.Hour, "with -whole: stop after this time and say how far it came")
	flag.IntVar(&o.part, "part", -1, "with -whole: simulate this part of the night only, from 0")
	flag.StringVar(&o.book, "book", "", "with -whole: a file that parts are added to when they are complete, and which adds up")
	flag.Uint64Var(&o.seed, "seed", 1, "of the simulated losses and outages")
	return o
}()

// TestNoiseWakesNobody: a few targets for a whole day, so that every window and
// budget is full, and many for some minutes under five times the loss, so that
// three strikes come often.
func TestNoiseWakesNobody(t *testing.T) {
	f := func(name string, n night) {
		t.Run(name, func(t *testing.T) {
			n.seed, n.latency = given.seed, true
			out, err := n.run(t.Context(), shipped(t), func(time.Duration) {})
			if err != nil {
				t.Fatal(err)
			}
			t.Log("\n" + n.table(out))
			if len(out.Noise) != 0 {
				t.Errorf("noise pages: %v", out.Noise)
			}
		})
	}
	f("two targets for a day", night{targets: 2, length: 24 * time.Hour, loss: 0.01})
	f("many targets under 5 % loss", night{targets: 400, length: 3 * time.Minute, loss: 0.05})
}

// TestOutagesAreFound: from the scheduled time of the first attempt that failed
// to the page handed over, noise going on.
func TestOutagesAreFound(t *testing.T) {
	targets := 250
	if given.whole {
		targets = 5000
	}
	n := &night{targets: targets, length: 100 * time.Second, loss: 0.01, seed: given.seed, together: 5, latency: true}
	n.inject()
	out, err := n.run(t.Context(), shipped(t), func(time.Duration) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + n.table(out) + out.detections())
	if len(out.Noise) != 0 {
		t.Errorf("noise pages: %v", out.Noise)
	}
	for _, kind := range []string{"target", "zone"} {
		times, missed := out.delays(kind)
		if missed != 0 || len(times) < targets/10 {
			t.Errorf("%s: %d outages found, %d not", kind, len(times), missed)
			continue
		}
		if p99 := quantile(times, 99); p99 >= 2*time.Second {
			t.Errorf("%s: 1 outage in 100 is found after %s", kind, p99)
		}
	}
}

// inject gives every other target an outage: of its own, of a whole zone at
// once, or one of 60 % of the attempts. They begin at any instant of a minute
// and last half a minute.
func (n *night) inject() {
	dice := rand.New(rand.NewPCG(n.seed, 7))
	n.outages = map[int]*outage{}
	begin := func() int64 { return midnight + 5000 + dice.Int64N(60_000) }
	for zone := 0; zone*zoneWidth < n.targets; zone++ {
		together := begin()
		for i := zone * zoneWidth; i < min((zone+1)*zoneWidth, n.targets); i++ {
			o := &outage{kind: "target", loss: 1, from: begin()}
			switch {
			case zone%4 == 1:
				o.kind, o.from = "zone", together
			case i%4 == 1:
				continue
			case i%4 == 2:
				o.kind, o.loss = "partial", 0.6
			}
			o.to = o.from + 30_000
			n.outages[i] = o
		}
	}
}

// delays returns how long the outages of a kind took to be found, ascending, and
// how many were not.
func (t *tally) delays(kind string) (out []time.Duration, missed int) {
	for _, ms := range t.Noticed[kind] {
		out = append(out, time.Duration(ms)*time.Millisecond)
	}
	slices.Sort(out)
	return out, t.Missed[kind]
}

// quantile returns the nearest rank.
func quantile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max((len(sorted)*percent+99)/100, 1)-1]
}

func (t *tally) detections() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-22s %8s %8s %8s %8s %8s\n", "outages of", "found", "missed", "p50", "p99", "max")
	for _, kind := range []string{"target", "zone", "partial"} {
		times, missed := t.delays(kind)
		ms := func(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
		fmt.Fprintf(&b, "%-22s %8d %8d %8s %8s %8s\n", kind, len(times), missed, ms(quantile(times, 50)), ms(quantile(times, 99)), ms(quantile(times, 100)))
	}
	return b.String()
}

// table prints what a night came to.
func (n *night) table(t *tally) string {
	var b strings.Builder
	row := func(name string, value any) { fmt.Fprintf(&b, "%-62s %12v\n", name, value) }
	row(fmt.Sprintf("targets × %d vantage points at 1 s, %.0f %% loss, seed %d", vantages, 100*n.loss, n.seed), n.targets)
	row("log time", n.length)
	row("samples", t.Samples)
	row("three strikes that the first vantage point saw", t.Strikes)
	row("three strikes to expect of it: 10,000 targets, 24 h", int(10_000*86_400*n.loss*n.loss*n.loss*(1-n.loss)))
	sum := 0
	for _, count := range t.Noise {
		sum += count
	}
	row("pages from noise", sum)
	for _, list := range []map[string]int{t.Noise, t.Explained, t.Advice} {
		for _, name := range slices.Sorted(maps.Keys(list)) {
			kind := "of lesser severity: "
			if _, ok := t.Noise[name]; ok {
				kind = "pages from noise: "
			} else if _, ok := t.Explained[name]; ok {
				kind = "further pages on outages: "
			}
			row(kind+name, list[name])
		}
	}
	return b.String()
}
