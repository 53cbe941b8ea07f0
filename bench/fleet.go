package main

import (
	"fmt"
	"path/filepath"

	"nines/agent/framing"
	"nines/configs"
	"nines/internal/telemetry"
	"nines/internal/topology"
)

// benchHost is one host of the benchmarks' fleet.
type benchHost struct {
	number int
	name   string
	labels telemetry.Labels
}

// fleetHosts spreads the fleet evenly over the zones that ship, and returns the
// hosts of each of n partitions, which is chosen as agents choose it: where a
// zone's hosts go decides in how many partitions a region's groups are counted. It
// leaves the shipped configuration in dir.
func fleetHosts(dir string, n int) (of [][]benchHost, err error) {
	of = make([][]benchHost, n)
	dir = filepath.Join(dir, "configs")
	if _, err := configs.Write(dir); err != nil {
		return of, err
	}
	top, err := topology.Load(filepath.Join(dir, "topology"))
	if err != nil {
		return of, err
	}
	var zones []topology.Zone
	for _, r := range top.Regions {
		zones = append(zones, r.Zones...)
	}
	for i := range benchHosts {
		zone := zones[i%len(zones)]
		h := benchHost{number: i, name: fmt.Sprintf("host-%d", i)}
		h.labels = telemetry.NewLabels(map[string]string{"host": h.name, "zone": zone.ID, "region": zone.Region})
		p := framing.Partition(zone.ID, h.name, n)
		of[p] = append(of[p], h)
	}
	return of, nil
}
