package mesh

import (
	"time"

	"nines/internal/telemetry"
)

// Columns of a peer's schema.
const (
	colBackward = iota
	colForward
	colJitter
	colRTT
	colSuccess
	columns
)

// PeerLabels are the labels of what other hosts measure towards this one.
func (h Host) PeerLabels() telemetry.Labels {
	return telemetry.NewLabels(map[string]string{"peer": h.Name, "peer_zone": h.Zone, "peer_region": h.Region})
}

// schemaOf returns the series of what this host measures towards a peer.
func schemaOf(p Host) *telemetry.Schema {
	labels := p.PeerLabels()
	names := [columns]string{
		colBackward: "mesh_backward_seconds",
		colForward:  "mesh_forward_seconds",
		colJitter:   "mesh_jitter_seconds",
		colRTT:      "mesh_rtt_seconds",
		colSuccess:  "mesh_success",
	}
	series := make([]telemetry.Series, columns)
	for i, n := range names {
		series[i] = telemetry.Series{Name: n, Labels: labels, Kind: telemetry.Gauge}
	}
	return telemetry.NewSchema(series)
}

// measured is what one packet's answer says; what it does not say is negative.
type measured struct{ rtt, forward, backward, jitter time.Duration }

// round makes a sample of a packet: what was measured, or its loss.
func round(schema *telemetry.Schema, at int64, m *measured) telemetry.Round {
	r := telemetry.Round{Schema: schema, Time: at, Values: make([]float64, columns)}
	if m == nil {
		r.Absent = []uint64{1<<columns - 1 - 1<<colSuccess}
		return r
	}
	r.Values[colSuccess] = 1
	var absent uint64
	set := func(col int, d time.Duration) {
		if d < 0 {
			absent |= 1 << col
			return
		}
		r.Values[col] = d.Seconds()
	}
	set(colRTT, m.rtt)
	set(colForward, m.forward)
	set(colBackward, m.backward)
	set(colJitter, m.jitter)
	if absent != 0 {
		r.Absent = []uint64{absent}
	}
	return r
}
