package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"nines/configs"
	"nines/internal/hist"
	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/telemetry"
	"nines/internal/topology"
	"nines/internal/wire"
	"nines/rules"
	"nines/web"
)

// meshNow is the log time of the matrix: half a minute into a minute.
const meshNow = int64(1_795_178_070_000)

// MeshMatrixSeconds is the CPU time of one matrix of all zones that ship, over an
// hour, from the request to the bytes of its answer: 8,464 ordered pairs with a
// packet a second, sixty slots of packets and thirteen histograms of each. The
// page asks for an hour every thirty seconds: at the target each who looks at one
// takes a fortieth of a core.
func (suite) MeshMatrixSeconds() benchmark {
	var l *ledger.Ledger
	dir := ""
	return benchmark{Name: "mesh_matrix_seconds", Unit: "s", Better: lower, Target: 0.8,
		Prepare: func() (func() (float64, error), error) {
			var err error
			if dir, err = os.MkdirTemp("", "nines-bench-"); err != nil {
				return nil, fmt.Errorf("make a directory for the mesh: %w", err)
			}
			if l, err = ledger.Open(context.Background(), ledger.Options{Path: dir}); err != nil {
				return nil, err
			}
			set, err := fillMesh(l)
			if err != nil {
				return nil, err
			}
			srv, err := web.New(web.Options{Ledger: l, Rules: func() *slo.RuleSet { return set }, Now: func() time.Time { return time.UnixMilli(meshNow) }})
			if err != nil {
				return nil, err
			}
			return func() (float64, error) { return askMesh(srv.Handler()) }, nil
		},
		Clean: func() {
			if l != nil {
				_ = l.Close()
			}
			_ = os.RemoveAll(dir)
		}}
}

// askMesh returns the CPU seconds of one answer.
func askMesh(h http.Handler) (float64, error) {
	r := httptest.NewRequest("GET", fmt.Sprintf("/api/nines/v1/mesh?from=%d&to=%d", meshNow-time.Hour.Milliseconds(), meshNow), nil)
	r.Host = "127.0.0.1:9999"
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	start, err := cpuTime()
	if err != nil {
		return 0, err
	}
	h.ServeHTTP(w, r)
	end, err := cpuTime()
	if w.Code != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("ask for the matrix: status %d: %s", w.Code, w.Body))
	}
	return (end - start).Seconds(), err
}

// fillMesh writes what the evaluator leaves of an hour and a half of the mesh.
func fillMesh(l *ledger.Ledger) (*slo.RuleSet, error) {
	set, err := rules.LoadFS(configs.Files, "objectives/mesh.yaml")
	if err != nil {
		return nil, err
	}
	streams := map[string]*slo.Stream{}
	for id, st := range set.RuleSet.Streams {
		streams[st.Sample.Metric] = st
		if st.ID() != id {
			return nil, fmt.Errorf("stream %s has another identity", id)
		}
	}
	text, err := configs.Topology()
	if err != nil {
		return nil, err
	}
	top, err := topology.Parse("topology", text)
	if err != nil {
		return nil, err
	}
	claim, err := l.Claim(context.Background(), 0, "bench")
	if err != nil {
		return nil, err
	}
	var zones []topology.Zone
	for _, r := range top.Regions {
		zones = append(zones, r.Zones...)
	}
	dice := rand.New(rand.NewPCG(1, 2))
	for i, from := range zones {
		b := &ledger.Batch{Offset: int64(i + 1), LogTime: meshNow}
		for _, to := range zones {
			meshPair(b, streams["mesh_success"], streams["mesh_rtt_seconds"], from, to, dice)
		}
		if err := l.Commit(context.Background(), claim, b); err != nil {
			return nil, err
		}
	}
	return set.RuleSet, nil
}

// meshPair adds one ordered pair of zones.
func meshPair(b *ledger.Batch, packets, trips *slo.Stream, from, to topology.Zone, dice *rand.Rand) {
	labels := telemetry.NewLabels(map[string]string{"region": from.Region, "zone": from.ID, "peer_region": to.Region, "peer_zone": to.ID})
	key := func(st *slo.Stream) wire.GroupKey { return wire.GroupKey{Stream: st.ID(), Labels: labels.Hash()} }
	begin := meshNow - 90*time.Minute.Milliseconds()
	for _, st := range []*slo.Stream{packets, trips} {
		b.Groups = append(b.Groups, ledger.Group{Key: key(st), Labels: labels, FirstSlot: begin})
		length := st.Rule.Length
		for at := begin - begin%length; at < meshNow; at += length {
			n := uint64(length / 1000)
			s := ledger.Slot{Start: at, State: sla.Good, Version: 1, Good: n - uint64(dice.IntN(2)), Total: n}
			if at+length > meshNow {
				s.State, s.Version = sla.Open, 0
			}
			b.Slots = append(b.Slots, ledger.SlotChange{Group: key(st), Slot: s})
		}
	}
	base := 0.001 * math.Exp(5*dice.Float64())
	for at := begin - begin%trips.Rule.Length; at < meshNow; at += trips.Rule.Length {
		var h hist.Histogram
		for range trips.Rule.Length / 1000 {
			h.Observe(base * (1 + 0.06*math.Abs(dice.NormFloat64())))
		}
		b.Sketches = append(b.Sketches, ledger.Sketch{Group: key(trips), Slot: at, Hist: h})
	}
}
