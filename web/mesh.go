package web

import (
	"cmp"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"nines/internal/ledger"
	"nines/internal/slo"
	"nines/internal/telemetry"
)

const (
	// meshSpan is the range of a matrix whose query names none.
	meshSpan = 5 * minuteMs
	// maxMeshSpan is the longest range of a matrix.
	maxMeshSpan = dayMs
	// maxMeshSlots bounds slots × pairs of one matrix: six hours of round trips in
	// slots of five minutes between 100 zones.
	maxMeshSlots = 750_000
	// maxMeshPairs bounds the pairs of one matrix.
	maxMeshPairs = 250_000
)

// The labels that say from where to where a packet of the mesh went.
const (
	labelRegion     = "region"
	labelZone       = "zone"
	labelPeerRegion = "peer_region"
	labelPeerZone   = "peer_zone"
)

// meshView is the matrix of the mesh: rows are where packets came from, columns
// where they went, both as in Zones.
type meshView struct {
	// From and To bound the packets counted, by the starts of their slots; RTTFrom
	// is where the slots of round trips begin, which are longer.
	From    int64 `json:"from"`
	RTTFrom int64 `json:"rtt_from"`
	To      int64 `json:"to"`
	// LossObjective and RTTObjective are what the matrix is made of; empty where
	// no objective counts the mesh.
	LossObjective string     `json:"loss_objective"`
	RTTObjective  string     `json:"rtt_objective"`
	Zones         []meshZone `json:"zones"`
	// N counts packets and Lost those not answered; Loss is their share, absent
	// for a pair that nobody measured.
	N    matrix `json:"n"`
	Lost matrix `json:"lost"`
	Loss matrix `json:"loss"`
	// P50, P95 and P99 are round trips in seconds, off by at most 1.1 %, absent
	// where no packet was answered.
	P50 matrix `json:"p50"`
	P95 matrix `json:"p95"`
	P99 matrix `json:"p99"`
}

type meshZone struct {
	Region string `json:"region"`
	Zone   string `json:"zone"`
}

// matrix is rows of numbers. NaN is null: what nobody measured.
type matrix [][]float64

// meshDigits are the significant digits of a number: more than percentiles have.
const meshDigits = 5

// MarshalJSON writes the rows, counts entirely and other numbers with five
// significant digits.
func (m matrix) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 16+8*len(m)*len(m))
	b = append(b, '[')
	for i, row := range m {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		for j, v := range row {
			if j > 0 {
				b = append(b, ',')
			}
			switch {
			case math.IsNaN(v):
				b = append(b, "null"...)
			case v == math.Trunc(v):
				b = strconv.AppendFloat(b, v, 'f', -1, 64)
			default:
				b = strconv.AppendFloat(b, v, 'g', meshDigits, 64)
			}
		}
		b = append(b, ']')
	}
	return append(b, ']'), nil
}

func newMatrix(n int, fill float64) matrix {
	m, all := make(matrix, n), slices.Repeat([]float64{fill}, n*n)
	for i := range m {
		m[i] = all[i*n : (i+1)*n : (i+1)*n]
	}
	return m
}

// meshStream is an objective that counts all packets of the mesh by pairs of
// zones, and its stream.
type meshStream struct {
	objective, id string
	slotMs        int64
}

// meshOf finds the first objective that counts all samples of the metric by pairs
// of zones.
func meshOf(rs *slo.RuleSet, metric string, fits func(*slo.Stream) bool) (m meshStream, ok bool) {
	for _, o := range rs.Objectives {
		st := rs.Streams[o.StreamID]
		if st == nil || st.Sample == nil || st.Sample.Metric != metric || len(st.Sample.Matchers) > 0 || !fits(st) {
			continue
		}
		if slices.Contains(st.GroupBy, labelZone) && slices.Contains(st.GroupBy, labelPeerZone) {
			return meshStream{o.Name, o.StreamID, slotLength(rs, o.StreamID)}, true
		}
	}
	return m, false
}

// ofPackets tells whether good events of the stream are packets that came back.
func ofPackets(st *slo.Stream) bool {
	return st.Op == slo.GTE && st.Threshold > 0 && st.Threshold <= 1 || st.Op == slo.GT && st.Threshold >= 0 && st.Threshold < 1
}

func ofRoundTrips(st *slo.Stream) bool { return st.Histogram }

// lossOf and tripsOf find the objectives of lost packets and of round trips.
func lossOf(rs *slo.RuleSet) (meshStream, bool)  { return meshOf(rs, "mesh_success", ofPackets) }
func tripsOf(rs *slo.RuleSet) (meshStream, bool) { return meshOf(rs, "mesh_rtt_seconds", ofRoundTrips) }

func (s *Server) getMesh(r *http.Request) (any, error) {
	q := r.URL.Query()
	from, to, err := s.rangeOf(r, meshSpan)
	if err != nil {
		return nil, err
	}
	if to-from > maxMeshSpan {
		return nil, badRequest("the range is %d hours long: ask for at most %d", (to-from)/hourMs, maxMeshSpan/hourMs)
	}
	rs, err := s.rules(r.Context())
	if err != nil {
		return nil, err
	}
	v := &meshView{From: from, RTTFrom: from, To: to}
	var packets, trips []ledger.GroupSum
	if m, ok := lossOf(rs); ok {
		v.LossObjective, v.From = m.objective, floorTo(from, m.slotMs)
		if packets, err = s.o.Ledger.Sums(r.Context(), s.who, m.id, v.From, to); err != nil {
			return nil, err
		}
	}
	if m, ok := tripsOf(rs); ok {
		v.RTTObjective, v.RTTFrom = m.objective, floorTo(from, m.slotMs)
		if err := boundMesh(len(packets), v.RTTFrom, to, m.slotMs); err != nil {
			return nil, err
		}
		if trips, err = s.o.Ledger.SketchSums(r.Context(), s.who, m.id, v.RTTFrom, to, m.slotMs); err != nil {
			return nil, err
		}
	}
	return v, v.fill(packets, trips, q)
}

// boundMesh refuses a range that would take long to read.
func boundMesh(pairs int, from, to, slotMs int64) error {
	if slots := (to - from) / slotMs; pairs > 0 && slots > int64(maxMeshSlots/pairs) {
		return badRequest("the matrix has %d pairs of zones: ask for at most %d minutes at once", pairs, max(1, maxMeshSlots/pairs)*int(slotMs)/int(minuteMs))
	}
	return nil
}

// meshEnds says from where to where a group's packets went.
func meshEnds(labels telemetry.Labels) (from, to meshZone) {
	return meshZone{labels.Get(labelRegion), labels.Get(labelZone)}, meshZone{labels.Get(labelPeerRegion), labels.Get(labelPeerZone)}
}

// fill sums the groups up by pairs. A query names one region, to have its rows
// and columns alone.
func (v *meshView) fill(packets, trips []ledger.GroupSum, q url.Values) error {
	region := q.Get(labelRegion)
	seen := func(g *ledger.GroupSum) bool {
		from, to := meshEnds(g.Group.Labels)
		live := g.Group.Retired == 0 || g.Total > 0 || g.Hist.Count > 0
		return live && (region == "" || from.Region == region && to.Region == region)
	}
	at := map[meshZone]int{}
	for _, sums := range [][]ledger.GroupSum{packets, trips} {
		for i := range sums {
			if seen(&sums[i]) {
				from, to := meshEnds(sums[i].Group.Labels)
				at[from], at[to] = 0, 0
			}
		}
	}
	v.Zones = make([]meshZone, 0, len(at))
	for z := range at {
		v.Zones = append(v.Zones, z)
	}
	slices.SortFunc(v.Zones, func(a, b meshZone) int { return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Zone, b.Zone)) })
	for i, z := range v.Zones {
		at[z] = i
	}
	n := len(v.Zones)
	if n*n > maxMeshPairs {
		return badRequest("the matrix has %d zones: ask for those of one region with ?region=NAME", n)
	}
	v.N, v.Lost = newMatrix(n, 0), newMatrix(n, 0)
	v.Loss, v.P50, v.P95, v.P99 = newMatrix(n, math.NaN()), newMatrix(n, math.NaN()), newMatrix(n, math.NaN()), newMatrix(n, math.NaN())
	for i := range packets {
		if g := &packets[i]; seen(g) {
			from, to := meshEnds(g.Group.Labels)
			v.addPackets(at[from], at[to], g)
		}
	}
	v.addTrips(trips, seen, at)
	return nil
}

func (v *meshView) addPackets(i, j int, g *ledger.GroupSum) {
	if v.N[i][j] += float64(g.Total); v.N[i][j] > 0 {
		v.Lost[i][j] += float64(g.Total - g.Good)
		v.Loss[i][j] = v.Lost[i][j] / v.N[i][j]
	}
}

// addTrips sets the percentiles. Groups of one pair, where an objective tells
// more apart than zones, are merged first.
func (v *meshView) addTrips(trips []ledger.GroupSum, seen func(*ledger.GroupSum) bool, at map[meshZone]int) {
	first := map[[2]int]*ledger.GroupSum{}
	for i := range trips {
		g := &trips[i]
		if !seen(g) || g.Hist.Count == 0 {
			continue
		}
		from, to := meshEnds(g.Group.Labels)
		pair := [2]int{at[from], at[to]}
		if have := first[pair]; have != nil {
			have.Hist.Merge(&g.Hist)
			g = have
		}
		first[pair] = g
	}
	for pair, g := range first {
		for i, m := range []matrix{v.P50, v.P95, v.P99} {
			if t := g.Hist.Quantile(quantiles[i]); !math.IsInf(t, 0) {
				m[pair[0]][pair[1]] = t
			}
		}
	}
}

// meshPairView says which groups of the objectives are one pair of zones.
type meshPairView struct {
	LossObjective string `json:"loss_objective"`
	LossGroup     string `json:"loss_group"`
	RTTObjective  string `json:"rtt_objective"`
	RTTGroup      string `json:"rtt_group"`
}

// getMeshPair answers where the course of one pair is: the groups of the ledger,
// for slots, percentiles and the page of an objective.
func (s *Server) getMeshPair(r *http.Request) (any, error) {
	q := r.URL.Query()
	rs, err := s.rules(r.Context())
	if err != nil {
		return nil, err
	}
	want := map[string]string{}
	for _, name := range []string{labelRegion, labelZone, labelPeerRegion, labelPeerZone} {
		want[name] = q.Get(name)
	}
	find := func(m meshStream) (string, error) {
		groups, err := s.o.Ledger.Groups(r.Context(), s.who, ledger.GroupFilter{Streams: []string{m.id}, Labels: want, IncludeRetired: true})
		if err != nil || len(groups) == 0 {
			return "", err
		}
		return groupID(groups[0].Key), nil
	}
	var v meshPairView
	if m, ok := lossOf(rs); ok {
		if v.LossGroup, err = find(m); err != nil {
			return nil, err
		}
		v.LossObjective = m.objective
	}
	if m, ok := tripsOf(rs); ok {
		if v.RTTGroup, err = find(m); err != nil {
			return nil, err
		}
		v.RTTObjective = m.objective
	}
	if v.LossGroup == "" && v.RTTGroup == "" {
		return nil, notFound("nothing was measured from %s to %s: GET /api/nines/v1/mesh lists the zones", quoteShort(want[labelZone]), quoteShort(want[labelPeerZone]))
	}
	return v, nil
}
