package collector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"nines/internal/telemetry"
	"nines/internal/wire"
)

func testTown(t *testing.T) *town {
	t.Helper()
	tn, err := newTown("../..", 1000)
	if err != nil {
		t.Fatal(err)
	}
	return tn
}

// Each host is probed from five hosts in five other zones, and each probes five.
func TestATownProbesItself(t *testing.T) {
	tn := testTown(t)
	probed := map[int]int{}
	for i := range tn.hosts {
		zones := map[string]bool{tn.hosts[i].zone: true}
		for k := range vantages {
			p := tn.prober(i, k)
			zones[tn.hosts[p].zone] = true
			if tn.target(p, k) != i {
				t.Fatalf("host %d is probed by %d, which probes %d", i, p, tn.target(p, k))
			}
			probed[p]++
		}
		if len(zones) != vantages+1 {
			t.Fatalf("host %d is probed from zones %v", i, zones)
		}
	}
	for i := range tn.hosts {
		if probed[i] != vantages {
			t.Fatalf("host %d probes %d hosts", i, probed[i])
		}
	}
	if _, err := newTown("../..", 100); err == nil {
		t.Error("a hundred hosts are enough")
	}
}

// However many faults there are, those who see them stay.
func TestFaultsLeaveTheVantagePoints(t *testing.T) {
	tn := testTown(t)
	all, err := tn.faults(30, fleetFaults)
	if err != nil {
		t.Fatal(err)
	}
	gone, zones := map[int]bool{}, 0
	for _, f := range all {
		if f.zone != "" {
			zones++
		} else if len(f.hosts) != 1 {
			t.Errorf("a fault of %d hosts in no zone", len(f.hosts))
		}
		for _, i := range f.hosts {
			if gone[i] || f.zone != "" && tn.hosts[i].zone != f.zone {
				t.Errorf("host %d of %q fails twice, or in another zone's fault", i, tn.hosts[i].zone)
			}
			gone[i] = true
		}
	}
	if zones != 5 {
		t.Errorf("%d zones fail, want 5", zones)
	}
	for i := range gone {
		for k := range vantages {
			if p := tn.prober(i, k); gone[p] {
				t.Errorf("host %d fails, and so does %d, which probes it", i, p)
			}
		}
	}
	if _, err := tn.faults(2000, fleetFaults); err == nil {
		t.Error("a thousand hosts fail two thousand times")
	}
}

// Frames and pages show the same hosts, and the same ones failing.
func TestFramesAndPagesShowTheSameFaults(t *testing.T) {
	tn := testTown(t)
	const now = 1_700_000_000_000
	tn.failed[500].Store(now)
	page := func(k int) string {
		w := httptest.NewRecorder()
		tn.ServeHTTP(w, httptest.NewRequest("GET", string([]byte{'/', byte('0' + k)}), nil))
		return w.Body.String()
	}
	down, series := 0, 0
	for k := range vantages {
		for line := range strings.Lines(page(k)) {
			if strings.HasPrefix(line, "probe_success{") {
				series++
				if strings.HasSuffix(line, " 0\n") {
					down++
					if !strings.Contains(line, `target="host-500"`) {
						t.Errorf("another one fails: %s", line)
					}
				}
			}
		}
	}
	if want := (len(tn.hosts) - 1) * vantages; down != vantages || series != want {
		t.Errorf("pages: %d of %d series fail, want %d of %d: whom the host itself probes is missing", down, series, vantages, want)
	}
	var enc wire.Encoder
	var dec wire.Decoder
	dice := rand.New(rand.NewPCG(1, 1))
	down = 0
	for i := range tn.hosts {
		b := enc.AppendFrame(nil, tn.agent(i).frame(now, 1, dice), func(uint64) bool { return true })
		var fr telemetry.Frame
		if err := dec.DecodeFrame(b, &fr, wire.NewSchemaCache(wire.DefaultSchemas)); err != nil {
			t.Fatal(err)
		}
		for _, bl := range fr.Blocks {
			if bl.Values[0] != 0 {
				continue
			}
			down++
			if got := bl.Schema.Series[0].Labels.Get("target"); got != "host-500" || !math.IsInf(bl.Values[1], 1) {
				t.Errorf("%s fails after %v s", got, bl.Values[1])
			}
		}
	}
	if down != vantages {
		t.Errorf("frames: %d probes fail, want %d", down, vantages)
	}
}

func TestTheReportTellsOfTheFleet(t *testing.T) {
	s := New(Options{Root: "../.."})
	s.detectedFleet = []Detection{{Contestant: "watcher", What: "looks", Seconds: [][]float64{{1, 2}, {3, math.Inf(1)}}, Whole: []float64{4, 5}, Cores: 0.5, By: "look 0.5", Late: "never", False: 3},
		{Contestant: "sleeper", What: "waits", Missed: "did not see 10 hosts within 9 s", Late: "7 s behind", Cores: 0.25, By: "sleep 0.25"}}
	var b strings.Builder
	s.fleetDetections(&b)
	for _, want := range []string{"10000 hosts", "| watcher | looks | 2.00 | +Inf | +Inf | 5.00 | 4 | never | 3 |", "2: 3.00 +Inf", "| watcher | 0.50 | look 0.5 |",
		"| sleeper | waits | – | – | – | – | 0 | no: did not see 10 hosts within 9 s; 7 s behind | – |", "| sleeper | 0.25 | sleep 0.25 |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, b.String())
		}
	}
}

// What programs take is told program by program, and what is left is the rest of
// the machine.
func TestCoresAreToldByProgram(t *testing.T) {
	used := map[string]time.Duration{"ours": time.Second, "theirs": time.Minute}
	of := func(name string) taker {
		return taker{name: name, used: func() (time.Duration, error) { return used[name], nil }}
	}
	g, err := newGauge([]taker{of("ours")}, []taker{of("theirs")})
	if err != nil {
		t.Fatal(err)
	}
	g.began = g.began.Add(-100 * time.Second)
	g.busy -= 200 * time.Second // as if the machine had been busy meanwhile
	used["ours"] += 50 * time.Second
	used["theirs"] += 25 * time.Second
	cores, words, err := g.read()
	if err != nil || cores < 0.49 || cores > 0.51 {
		t.Errorf("%v cores, %v", cores, err)
	}
	for _, want := range []string{"ours 0.50, theirs 0.25, everything else on the machine 1.2", fmt.Sprintf("of %d cores", runtime.NumCPU())} {
		if !strings.Contains(words, want) {
			t.Errorf("%q lacks %q", words, want)
		}
	}
}

// A race has an end: who comes late has less time to see the fleet, and is not
// waited for where nothing is left for its faults.
func TestARaceHasAnEnd(t *testing.T) {
	r := &fleetRace{faults: make([]*fault, 30)}
	f := func(slow bool, left, want time.Duration) {
		t.Helper()
		r.end = time.Now().Add(left)
		if got := r.limit([]runner{{watcher: watcher{slow: slow}}}); (got - want).Abs() > time.Second {
			t.Errorf("with %v left it may take %v, want %v", left, got, want)
		}
	}
	faults := 30 * fleetGap
	f(false, fleetBudget, fleetLimit)
	f(false, faults+50*time.Second, 30*time.Second)
	f(true, faults+150*time.Second, 30*time.Second)
	f(true, 0, -faults-2*time.Minute)
}
