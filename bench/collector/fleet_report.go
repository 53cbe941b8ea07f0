package collector

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// result fills in how long each fault took, run by run, and counts the hosts that
// were told of before they failed, or did not fail at all.
func (r *fleetRace) result(c *watcher, d *Detection) {
	for run := range r.runs {
		var took []float64
		for _, f := range r.faults[run*fleetFaults : (run+1)*fleetFaults] {
			seconds, whole := math.Inf(1), math.Inf(1)
			if first, last, ok := r.told(c, f); ok {
				seconds, whole = first.Sub(f.at).Seconds(), last.Sub(f.at).Seconds()
			}
			took = append(took, seconds)
			if f.zone != "" {
				d.Whole = append(d.Whole, whole)
			}
		}
		slices.Sort(took)
		d.Seconds = append(d.Seconds, took)
	}
	slices.Sort(d.Whole)
	for i := range r.town.hosts {
		at, ok := r.hooks.told(c.name, r.town.hosts[i].name)
		if since := r.town.failed[i].Load(); ok && (since == 0 || at.UnixMilli() < since) {
			d.False++
		}
	}
	v := d.all()
	fmt.Fprintf(r.s.o.Log, "fleet: %-22s p50 %6.2f s, p99 %6.2f s, max %6.2f s, whole zones %6.2f s, %s, %d false; cores: %s\n",
		d.Contestant, Percentile(v, 0.5), Percentile(v, 0.99), v[len(v)-1], d.Whole[len(d.Whole)-1], d.Late, d.False, d.By)
}

// fleetDetections tells them.
func (s *Session) fleetDetections(b *strings.Builder) {
	if len(s.detectedFleet) == 0 {
		return
	}
	fmt.Fprintf(b, "## From fault to webhook, %d hosts\n\nEach host is probed every second from %d others in other zones. A host fails, five times a run, and then a whole zone, each %s after the one before; their agents fail with them. Seconds until a webhook tells of the fault, and at most until webhooks have told of every host of a zone. Who looks each second runs alone, the two at their defaults together. False are hosts that were told of and had not failed.\n\n",
		s.o.Fleet, vantages, fleetGap)
	b.WriteString("| contestant | how it looks | p50 | p99 | max | whole zone, max | faults | kept up | false |\n|---|---|---|---|---|---|---|---|---|\n")
	var raced []Detection
	for _, d := range s.detectedFleet {
		if d.Missed != "" {
			fmt.Fprintf(b, "| %s | %s | – | – | – | – | 0 | no: %s; %s | – |\n", d.Contestant, d.What, d.Missed, d.Late)
			continue
		}
		raced = append(raced, d)
		v := d.all()
		fmt.Fprintf(b, "| %s | %s | %.2f | %.2f | %.2f | %.2f | %d | %s | %d |\n", d.Contestant, d.What, Percentile(v, 0.5), Percentile(v, 0.99), v[len(v)-1], d.Whole[len(d.Whole)-1], len(v), d.Late, d.False)
	}
	b.WriteString("\nCPU seconds a second meanwhile; of who did not keep up, while it tried:\n\n| contestant | all its programs | by program |\n|---|---|---|\n")
	for _, d := range s.detectedFleet {
		fmt.Fprintf(b, "| %s | %.2f | %s |\n", d.Contestant, d.Cores, d.By)
	}
	everyFault(b, raced)
}
