package sim

import (
	"fmt"
	"math"
	"testing"
)

// meshed is a fleet that measures itself; script and topology are those of the
// other tests.
func meshed(t testing.TB, faults string, truth func(Outcome)) *Fleet {
	t.Helper()
	c, top := parsed(t, faults)
	c = c.WithMesh()
	c.Mesh.Pairs = 2
	f, err := New(Options{Config: c, Topology: top, Start: start, Truth: truth})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// pair is an ordered pair of zones.
type pair struct{ from, to string }

// seen is what the mesh measured of one pair.
type seen struct {
	hosts      map[string]bool // pairs of hosts
	sent, lost int
	trips      []float64
}

// watch sums the mesh up by pairs of zones.
func watch(into map[pair]*seen) func(Outcome) {
	return func(o Outcome) {
		to := o.Series.Labels.Get("peer_zone")
		if to == "" {
			return
		}
		at := pair{o.Labels.Get("zone"), to}
		s := into[at]
		if s == nil {
			s = &seen{hosts: map[string]bool{}}
			into[at] = s
		}
		switch o.Series.Name {
		case "mesh_success":
			s.sent++
			s.hosts[o.Host+" "+o.Series.Labels.Get("peer")] = true
			if o.Value == 0 {
				s.lost++
			}
		case "mesh_rtt_seconds":
			s.trips = append(s.trips, o.Value)
		}
	}
}

func (s *seen) mean() float64 {
	sum := 0.0
	for _, v := range s.trips {
		sum += v
	}
	return sum / float64(len(s.trips))
}

func TestTheMeshCoversAllPairsAtAFixedCost(t *testing.T) {
	got := map[pair]*seen{}
	byHost := map[string]int{}
	zones := watch(got)
	f := meshed(t, "", func(o Outcome) {
		if zones(o); o.Series.Name == "mesh_success" {
			byHost[o.Host]++
		}
	})
	if _, err := f.Advance(start + 60_000); err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"r1a", "r1b", "r2a"} {
		for _, b := range []string{"r1a", "r1b", "r2a"} {
			s := got[pair{a, b}]
			if s == nil || len(s.hosts) < 2 || s.sent < 60 || len(s.trips) != s.sent-s.lost {
				t.Errorf("%s → %s: %+v", a, b, s)
			}
		}
	}
	if len(byHost) != 6 { // the vantage point outside of the zones has no peers
		t.Errorf("hosts %v", byHost)
	}
	for host, n := range byHost {
		if n != 5*60 {
			t.Errorf("%s sent %d packets in a minute, want 5 a second", host, n)
		}
	}
	near, twin, far := got[pair{"r1a", "r1a"}].mean(), got[pair{"r1a", "r1b"}].mean(), got[pair{"r1a", "r2a"}].mean()
	if near > twin || twin > far/10 || far < 0.05 || far > 0.5 {
		t.Errorf("round trips within a zone, within a region and from the Gulf to Singapore: %v, %v, %v", near, twin, far)
	}
}

// One-way delays add up to the round trip, and jitter is the difference of two.
func TestTheMeshsFiguresAgree(t *testing.T) {
	last, sum := map[string]float64{}, map[string]float64{}
	jitters := 0
	f := meshed(t, "\n    - {kind: clock_step, host: host-r1a-0001, by: 2s, at: 30s, lasts: 30s}\n", func(o Outcome) {
		peer := o.Series.Labels.Get("peer")
		key := o.Host + " " + peer
		switch o.Series.Name {
		case "mesh_rtt_seconds":
			sum[key] = o.Value
			if _, ok := last[key]; !ok {
				last[key] = -1
			}
		case "mesh_forward_seconds":
			if o.Time-start > 30_500 && o.Time-start < 59_500 && (o.Host == "host-r1a-0001" || peer == "host-r1a-0001") {
				t.Errorf("%s has one-way delays by a clock that is wrong", key)
			}
			sum[key] -= o.Value
		case "mesh_backward_seconds":
			if left := sum[key] - o.Value; math.Abs(left) > 2e-6 {
				t.Errorf("%s: the ways differ from the round trip by %v", key, left)
			}
		case "mesh_jitter_seconds":
			jitters++
			if o.Value < 0 {
				t.Errorf("%s: jitter %v", key, o.Value)
			}
		}
	})
	if _, err := f.Advance(start + 90_000); err != nil {
		t.Fatal(err)
	}
	if jitters == 0 || len(last) == 0 {
		t.Error("nothing was measured")
	}
}

func TestFaultsShowInTheMesh(t *testing.T) {
	f := func(fault string, want func(p pair, s, well *seen) string) {
		t.Helper()
		got, well := map[pair]*seen{}, map[pair]*seen{}
		for into, faults := range map[*map[pair]*seen]string{&got: "\n    - " + fault + "\n", &well: ""} {
			fleet := meshed(t, faults, watch(*into))
			if _, err := fleet.Advance(start + 40_000); err != nil {
				t.Fatal(err)
			}
		}
		for p, s := range got {
			if words := want(p, s, well[p]); words != "" {
				t.Errorf("%s: %s → %s %s: %d of %d lost, mean %v, else %v", fault, p.from, p.to, words, s.lost, s.sent, s.mean(), well[p].mean())
			}
		}
	}
	share := func(s *seen) float64 { return float64(s.lost) / float64(s.sent) }
	f("{kind: zone_dark, zone: r2a, at: 0s, lasts: 60s}", func(p pair, s, _ *seen) string {
		if dark := p.from == "r2a" || p.to == "r2a"; dark != (share(s) == 1) {
			return "is not lost with its zone"
		}
		return ""
	})
	f("{kind: region_slow, region: r2, factor: 3, at: 0s, lasts: 60s}", func(p pair, s, well *seen) string {
		times := 1.0
		if p.from == "r2a" || p.to == "r2a" {
			times = 3
		}
		if math.Abs(s.mean()/well.mean()-times) > 1e-3 {
			return fmt.Sprintf("is not %v times as slow", times)
		}
		return ""
	})
	// A packet crosses the path there or its answer does back.
	f("{kind: path_lossy, from: r1a, to: r1b, loss: 0.5, at: 0s, lasts: 60s}", func(p pair, s, _ *seen) string {
		lossy := p == pair{"r1a", "r1b"} || p == pair{"r1b", "r1a"}
		if lossy != (share(s) > 0.25) || share(s) > 0.75 {
			return "has another loss"
		}
		return ""
	})
	f("{kind: agent_silent, host: host-r1b-0001, at: 0s, lasts: 60s}", func(p pair, s, _ *seen) string {
		if p.to == "r1b" && p.from != "r1b" && (share(s) < 0.2 || share(s) > 0.8) {
			return "does not miss one of two hosts"
		}
		return ""
	})
}

// Whoever has no mesh measures what it measured before, and a mesh changes
// nothing else.
func TestAMeshChangesNothingElse(t *testing.T) {
	type told struct {
		at   int64
		host string
		name string
		bits uint64
	}
	var plain, with []told
	note := func(into *[]told) func(Outcome) {
		return func(o Outcome) {
			if o.Series.Labels.Get("peer_zone") == "" {
				*into = append(*into, told{o.Time, o.Host, o.Series.Name, math.Float64bits(o.Value)})
			}
		}
	}
	for _, f := range []*Fleet{fleet(t, everything, Options{Truth: note(&plain)}), meshed(t, everything, note(&with))} {
		if _, err := f.Advance(start + 25_000); err != nil {
			t.Fatal(err)
		}
	}
	if len(plain) == 0 || len(plain) != len(with) {
		t.Fatalf("%d and %d outcomes", len(plain), len(with))
	}
	for i := range plain {
		if plain[i] != with[i] {
			t.Fatalf("%+v became %+v", plain[i], with[i])
		}
	}
}
