package main

import "testing"

func TestFleetIsWhereAgentsPlaceIt(t *testing.T) {
	of, err := fleetHosts(t.TempDir(), benchPartitions)
	if err != nil {
		t.Fatal(err)
	}
	hosts, partition, met := 0, map[string]int{}, map[string]map[int]bool{}
	for p := range of {
		hosts += len(of[p])
		for _, h := range of[p] {
			zone, region := h.labels.Get("zone"), h.labels.Get("region")
			if was, ok := partition[zone]; ok && was != p {
				t.Fatalf("zone %s is in partitions %d and %d", zone, was, p)
			}
			if partition[zone] = p; met[region] == nil {
				met[region] = map[int]bool{}
			}
			met[region][p] = true
		}
	}
	both := 0
	for _, in := range met {
		both += len(in)
	}
	if hosts != benchHosts || len(partition) != 92 || len(met) != benchRegions {
		t.Errorf("%d hosts in %d zones of %d regions", hosts, len(partition), len(met))
	}
	t.Logf("%d and %d hosts; regions meet %d partitions", len(of[0]), len(of[1]), both)
}
