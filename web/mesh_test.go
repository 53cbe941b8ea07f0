package web

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nines/internal/access"
	"nines/internal/hist"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/telemetry"
	"nines/internal/wire"
	"nines/rules"
)

// mesh is a ledger that holds what agents of a few zones measured of each other,
// judged by the objectives that ship, and what was measured, exactly.
type mesh struct {
	t       *testing.T
	l       *ledger.Ledger
	claim   *ledger.Claim
	set     *rules.Set
	streams [2]string // of packets, and of round trips
	offset  int64
	// trips are the round trips of each pair by the slot of five minutes in which
	// they were sent, seconds; infinite for a packet that was lost.
	trips map[[2]meshZone]map[int64][]float64
}

// meshNow is 12:34:30: 34 is the minute that is open, 30 begins the open slot of
// round trips.
const meshNow = scenarioNow

func newMesh(t *testing.T) *mesh {
	t.Helper()
	set, err := rules.Load([]string{"../configs/objectives/mesh.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	m := &mesh{t: t, l: openLedger(t), set: set, trips: map[[2]meshZone]map[int64][]float64{}}
	if m.claim, err = m.l.Claim(context.Background(), 0, "test"); err != nil {
		t.Fatal(err)
	}
	for _, o := range set.RuleSet.Objectives {
		switch o.Name {
		case "mesh-loss":
			m.streams[0] = o.StreamID
		case "mesh-rtt":
			m.streams[1] = o.StreamID
		}
	}
	m.commit(&ledger.Batch{RuleSetID: set.RuleSet.ID(), RuleSet: set.RuleSet})
	return m
}

func (m *mesh) commit(b *ledger.Batch) {
	m.t.Helper()
	m.offset++
	b.Offset, b.LogTime = m.offset, meshNow
	if err := m.l.Commit(context.Background(), m.claim, b); err != nil {
		m.t.Fatal(err)
	}
}

// measure sends a packet a second from one zone to another for the minutes before
// now; trip gives the round trip of the n-th.
func (m *mesh) measure(from, to meshZone, customer string, minutes int64, trip func(n int) float64) {
	m.t.Helper()
	labels := telemetry.NewLabels(map[string]string{"region": from.Region, "zone": from.Zone, "peer_region": to.Region, "peer_zone": to.Zone})
	var b ledger.Batch
	for _, stream := range m.streams {
		b.Groups = append(b.Groups, ledger.Group{Key: wire.GroupKey{Stream: stream, Labels: labels.Hash()}, Labels: labels, Customer: customer, FirstSlot: meshNow - hourMs})
	}
	pair := [2]meshZone{from, to}
	m.trips[pair] = map[int64][]float64{}
	packets, hists, n := map[int64]*ledger.Slot{}, map[int64]*hist.Histogram{}, 0
	for at := meshNow - minutes*minuteMs; at < meshNow; at += 1000 {
		v := trip(n)
		n++
		minute, slot := floorTo(at, minuteMs), floorTo(at, 5*minuteMs)
		if packets[minute] == nil {
			packets[minute] = &ledger.Slot{Start: minute}
			if minute+minuteMs <= meshNow {
				packets[minute].State, packets[minute].Version = sla.Good, 1
			}
		}
		packets[minute].Total++
		m.trips[pair][slot] = append(m.trips[pair][slot], v)
		if math.IsInf(v, 1) {
			continue
		}
		packets[minute].Good++
		if hists[slot] == nil {
			hists[slot] = &hist.Histogram{}
		}
		hists[slot].Observe(v)
	}
	for _, sl := range packets {
		b.Slots = append(b.Slots, ledger.SlotChange{Group: b.Groups[0].Key, Slot: *sl})
	}
	for slot, h := range hists {
		b.Sketches = append(b.Sketches, ledger.Sketch{Group: b.Groups[1].Key, Slot: slot, Hist: *h})
	}
	m.commit(&b)
}

// meshAnswer is the API's answer as a program reads it.
type meshAnswer struct {
	From          int64        `json:"from"`
	RTTFrom       int64        `json:"rtt_from"`
	To            int64        `json:"to"`
	LossObjective string       `json:"loss_objective"`
	RTTObjective  string       `json:"rtt_objective"`
	Zones         []meshZone   `json:"zones"`
	N             [][]uint64   `json:"n"`
	Lost          [][]uint64   `json:"lost"`
	Loss          [][]*float64 `json:"loss"`
	P50           [][]*float64 `json:"p50"`
	P95           [][]*float64 `json:"p95"`
	P99           [][]*float64 `json:"p99"`
}

func (a *meshAnswer) pair(from, to meshZone) (i, j int) {
	return slices.Index(a.Zones, from), slices.Index(a.Zones, to)
}

func constant(v float64) func(int) float64 { return func(int) float64 { return v } }

// The matrix is what was measured: counts exactly, percentiles within 1.1 % of the
// exact order statistic, rows by region and zone, whatever the range.
func TestTheMatrixIsWhatWasMeasured(t *testing.T) {
	m := newMesh(t)
	zones := []meshZone{{"ap-south", "ap-1a"}, {"ap-south", "ap-1b"}, {"eu-west", "eu-1a"}, {"eu-west", "eu-1b"}}
	dice := rand.New(rand.NewPCG(1, 2))
	for i, from := range zones {
		for j, to := range zones {
			if i == 3 && j == 0 {
				continue // nobody measures from eu-1b to ap-1a
			}
			loss := 0.02 * float64((i+2*j)%4)
			m.measure(from, to, "", 40, func(int) float64 {
				if dice.Float64() < loss {
					return math.Inf(1)
				}
				return (0.0002 + 0.03*float64(i+j)) * math.Exp(0.3*dice.NormFloat64())
			})
		}
	}
	h := newServer(t, &scenario{t: t, l: m.l, now: meshNow}, nil).Handler()
	for _, span := range []int64{5 * minuteMs, 17 * minuteMs, hourMs} {
		got := get[meshAnswer](t, h, fmt.Sprintf("/api/nines/v1/mesh?from=%d&to=%d", meshNow-span, meshNow))
		if !slices.Equal(got.Zones, zones) || got.LossObjective != "mesh-loss" || got.RTTObjective != "mesh-rtt" {
			t.Fatalf("zones %v of %q and %q", got.Zones, got.LossObjective, got.RTTObjective)
		}
		if got.From != floorTo(meshNow-span, minuteMs) || got.RTTFrom != floorTo(meshNow-span, 5*minuteMs) || got.To != meshNow {
			t.Fatalf("from %d, %d to %d", got.From, got.RTTFrom, got.To)
		}
		for _, from := range zones {
			for _, to := range zones {
				m.compare(&got, from, to)
			}
		}
	}
}

// compare holds one pair of an answer to what was measured.
func (m *mesh) compare(got *meshAnswer, from, to meshZone) {
	m.t.Helper()
	i, j := got.pair(from, to)
	var sent, lost uint64
	var answered []float64
	for slot, trips := range m.trips[[2]meshZone{from, to}] {
		for k, v := range trips {
			at := slot + int64(k)*1000
			if first := meshNow - 40*minuteMs; slot < first { // the slot began before the first packet
				at += first - slot
			}
			if at >= got.From {
				if sent++; math.IsInf(v, 1) {
					lost++
				}
			}
			if slot >= got.RTTFrom && !math.IsInf(v, 1) {
				answered = append(answered, v)
			}
		}
	}
	if got.N[i][j] != sent || got.Lost[i][j] != lost {
		m.t.Errorf("%v → %v: %d packets, %d lost; want %d and %d", from, to, got.N[i][j], got.Lost[i][j], sent, lost)
	}
	if sent == 0 {
		if got.Loss[i][j] != nil || got.P50[i][j] != nil || got.P99[i][j] != nil {
			m.t.Errorf("%v → %v was not measured, and has figures", from, to)
		}
		return
	}
	if l := got.Loss[i][j]; l == nil || math.Abs(*l-float64(lost)/float64(sent)) > 1e-5 {
		m.t.Errorf("%v → %v: loss %v, want %d of %d", from, to, l, lost, sent)
	}
	slices.Sort(answered)
	for k, q := range []float64{0.5, 0.95, 0.99} {
		exact := answered[int(math.Ceil(q*float64(len(answered))-1e-9))-1]
		if v := [][][]*float64{got.P50, got.P95, got.P99}[k][i][j]; v == nil || math.Abs(*v-exact)/exact > 0.011+1e-5 {
			m.t.Errorf("%v → %v: percentile %v is %v, exactly %v", from, to, q, v, exact)
		}
	}
}

// A zone that answers nobody has a column that is lost entirely, and no round
// trips: neither is shown as fast.
func TestAZoneThatIsLost(t *testing.T) {
	m := newMesh(t)
	a, b := meshZone{"eu", "eu-a"}, meshZone{"eu", "eu-b"}
	m.measure(a, b, "", 10, func(n int) float64 {
		if n >= 5*60 {
			return math.Inf(1)
		}
		return 0.001
	})
	m.measure(a, a, "", 10, constant(0.0002))
	h := newServer(t, &scenario{t: t, l: m.l, now: meshNow}, nil).Handler()
	got := get[meshAnswer](t, h, fmt.Sprintf("/api/nines/v1/mesh?from=%d&to=%d", meshNow-4*minuteMs, meshNow))
	i, j := got.pair(a, b)
	if l := got.Loss[i][j]; l == nil || *l != 1 {
		t.Errorf("loss %v, want all", l)
	}
	if got.N[j][i] != 0 || got.Loss[j][i] != nil {
		t.Errorf("the lost zone measured %d packets", got.N[j][i])
	}
	if p := got.P50[i][i]; p == nil || math.Abs(*p-0.0002) > 0.000_003 {
		t.Errorf("within the zone %v", p)
	}
}

// A customer sees the pairs that are its own, and learns neither figures nor names
// of other zones.
func TestACustomerSeesItsPairsOnly(t *testing.T) {
	m := newMesh(t)
	a, b, c := meshZone{"eu", "eu-a"}, meshZone{"ap", "ap-b"}, meshZone{"me", "me-c"}
	for _, from := range []meshZone{a, b, c} {
		for _, to := range []meshZone{a, b, c} {
			customer := ""
			switch {
			case from == a && to == b:
				customer = "acme"
			case from == c || to == c:
				customer = "zeta"
			}
			m.measure(from, to, customer, 6, constant(0.01))
		}
	}
	srv := newServer(t, &scenario{t: t, l: m.l, now: meshNow}, nil)
	h := srv.Handler()
	pair := func(from, to meshZone) int {
		return request(h, "GET", "/api/nines/v1/mesh/pair?"+url.Values{"region": {from.Region}, "zone": {from.Zone}, "peer_region": {to.Region}, "peer_zone": {to.Zone}}.Encode(), nil).Code
	}
	f := func(who access.Principal, zones string, measured, ab, ac int) {
		t.Helper()
		srv.who = who
		got := get[meshAnswer](t, h, "/api/nines/v1/mesh")
		var names []string
		n := 0
		for i, z := range got.Zones {
			names = append(names, z.Zone)
			for j := range got.Zones {
				if got.N[i][j] > 0 && got.P50[i][j] != nil {
					n++
				}
			}
		}
		if strings.Join(names, " ") != zones || n != measured {
			t.Errorf("%s sees %d pairs of %v, want %d of %s", who.Name, n, names, measured, zones)
		}
		if x, y := pair(a, b), pair(a, c); x != ab || y != ac {
			t.Errorf("%s asks for pairs: %d and %d", who.Name, x, y)
		}
	}
	f(access.Local(), "ap-b eu-a me-c", 9, 200, 200)
	f(access.Principal{Name: "acme", Customers: []string{"acme"}}, "ap-b eu-a", 1, 200, 404)
	f(access.Principal{Name: "zeta", Customers: []string{"zeta"}}, "ap-b eu-a me-c", 5, 404, 200)
	f(access.Principal{Name: "nobody"}, "", 0, 404, 404)
}

func TestTheMatrixOfARegionAndItsBounds(t *testing.T) {
	m := newMesh(t)
	a, b, c := meshZone{"eu", "eu-a"}, meshZone{"eu", "eu-b"}, meshZone{"ap", "ap-a"}
	for _, to := range []meshZone{a, b, c} {
		m.measure(a, to, "", 6, constant(0.01))
	}
	srv := newServer(t, &scenario{t: t, l: m.l, now: meshNow}, nil)
	h := srv.Handler()
	if got := get[meshAnswer](t, h, "/api/nines/v1/mesh?region=eu"); !slices.Equal(got.Zones, []meshZone{a, b}) || got.N[0][1] != 330 {
		t.Errorf("got %+v", got)
	}
	var p meshPairView
	if p = get[meshPairView](t, h, "/api/nines/v1/mesh/pair?region=eu&zone=eu-a&peer_region=ap&peer_zone=ap-a"); p.LossObjective != "mesh-loss" || p.RTTObjective != "mesh-rtt" {
		t.Errorf("got %+v", p)
	}
	slots := get[slotsView](t, h, "/api/nines/v1/slots?group="+p.LossGroup)
	trips := get[percentilesView](t, h, "/api/nines/v1/percentiles?group="+p.RTTGroup)
	if slots.Labels["peer_zone"] != "ap-a" || len(slots.Slots) == 0 || len(trips.Points) == 0 {
		t.Errorf("the pair's groups have %+v and %+v", slots, trips)
	}
	f := func(target string, words string) {
		t.Helper()
		if w := request(h, "GET", "/api/nines/v1/"+target, nil); w.Code != 400 || !strings.Contains(w.Body.String(), words) {
			t.Errorf("%s: status %d, %s", target, w.Code, w.Body)
		}
	}
	f(fmt.Sprintf("mesh?from=%d", meshNow-25*hourMs), "at most 24")
	f("mesh?from=x", "Unix milliseconds")
	if err := boundMesh(92*92, 0, 6*hourMs, 5*minuteMs); err != nil {
		t.Error(err)
	}
	if err := boundMesh(92*92, 0, 12*hourMs, 5*minuteMs); err == nil || !strings.Contains(err.Error(), "at most 440 minutes") {
		t.Errorf("twelve hours of 92 zones: %v", err)
	}
}

// Where nobody meshes, the answer is empty lists, which the page explains.
func TestNoMeshIsNoError(t *testing.T) {
	m := newMesh(t)
	f := func(h *mesh, objective string) {
		t.Helper()
		w := request(newServer(t, &scenario{t: t, l: h.l, now: meshNow}, nil).Handler(), "GET", "/api/nines/v1/mesh", nil)
		if w.Code != 200 || strings.Contains(w.Body.String(), "null") || !strings.Contains(w.Body.String(), `"zones":[]`) || !strings.Contains(w.Body.String(), objective) {
			t.Errorf("status %d, %s", w.Code, w.Body)
		}
	}
	f(m, `"loss_objective":"mesh-loss"`)
	f(&mesh{l: openLedger(t)}, `"loss_objective":""`)
}

// A promise on some of the packets, or one that judges otherwise, is not taken for
// the mesh, whichever comes first.
func TestOnlyObjectivesOfAllPacketsAreTheMesh(t *testing.T) {
	text, err := os.ReadFile("../configs/objectives/mesh.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f := func(old, with, packets, trips string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "mesh.yaml")
		changed := strings.ReplaceAll(string(text), old, with)
		if old == "" {
			changed = string(text)
		} else if changed == string(text) {
			t.Fatalf("the shipped file has no %q", old)
		}
		if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		set, err := rules.Load([]string{file})
		if err != nil {
			t.Fatal(err)
		}
		a, _ := meshOf(set.RuleSet, "mesh_success", ofPackets)
		b, _ := meshOf(set.RuleSet, "mesh_rtt_seconds", ofRoundTrips)
		if a.objective != packets || b.objective != trips {
			t.Errorf("with %q for %q the mesh is %q and %q, want %q and %q", with, old, a.objective, b.objective, packets, trips)
		}
	}
	by := "groupBy: [region, zone, peer_region, peer_zone]"
	f("", "", "mesh-loss", "mesh-rtt")
	f(by, by+"\n            labels: {zone: fra-a}", "", "")
	f(by, "groupBy: [region, peer_region]", "", "")
	f(by, "groupBy: [zone, peer_zone, host]", "mesh-loss", "mesh-rtt")
	f("histogram: true", "histogram: false", "mesh-loss", "")
	f("op: gte", "op: lt", "", "mesh-rtt")
	f("metric: mesh_success", "metric: probe_success", "", "mesh-rtt")
}
