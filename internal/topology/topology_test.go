package topology

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const twoZones = `apiVersion: nines/v1
kind: Topology
metadata: {name: test}
spec:
  regions:
    - id: r1
      name: First
      country: AE
      location: {latitude: 25, longitude: 55}
      zones: [r1a, {id: r1b, name: Dunes}]
    - id: r2
      country: SG
      location: {latitude: 1, longitude: 104}
      zones: [r2a]
  twins:
    - [r1a, r1b]
`

func TestPlacesAreFoundByTheirLabels(t *testing.T) {
	top, err := Parse("t.yaml", []byte(twoZones))
	if err != nil {
		t.Fatal(err)
	}
	r, ok := top.Region("r1")
	if !ok || r.Name != "First" || r.Country != "AE" || len(r.Zones) != 2 || r.Source != "t.yaml:6" {
		t.Errorf("region %+v", r)
	}
	z, ok := top.Zone("r1b")
	if !ok || z.Name != "Dunes" || z.Region != "r1" {
		t.Errorf("zone %+v", z)
	}
	for _, pair := range [][2]string{{"r1a", "r1b"}, {"r1b", "r1a"}} {
		if twin, ok := top.Twin(pair[0]); !ok || twin.ID != pair[1] {
			t.Errorf("twin of %s: %+v", pair[0], twin)
		}
	}
	if twin, ok := top.Twin("r2a"); ok {
		t.Errorf("r2a has the twin %+v", twin)
	}
	if top.Country("r2a") != "SG" || top.Country("nowhere") != "" || top.Zones() != 3 {
		t.Errorf("country %q, zones %d", top.Country("r2a"), top.Zones())
	}
}

func TestMistakesHavePositions(t *testing.T) {
	f := func(replace, with, want string) {
		t.Helper()
		text := strings.Replace(twoZones, replace, with, 1)
		if text == twoZones {
			t.Fatalf("%q does not occur", replace)
		}
		_, err := Parse("t.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("country: AE", "country: Emirates", `t.yaml:8:16: spec.regions[0].country: want an ISO 3166 code`)
	f("latitude: 25", "latitude: 95", `t.yaml:9:28: spec.regions[0].location.latitude: want from -90 to 90, got 95`)
	f("longitude: 104", "longitude: 204", `spec.regions[1].location.longitude: want from -180 to 180`)
	f("location: {latitude: 1, longitude: 104}", "residency: none", "spec.regions[1].location: is required")
	f("zones: [r2a]", "zones: []", "spec.regions[1].zones: is required")
	f("zones: [r2a]", "zones: [r1a]", `t.yaml:14:15: spec.regions[1].zones[0]: this zone is declared already at t.yaml:10, got "r1a"`)
	f("id: r2", "id: r1", "this region is declared already at t.yaml:6")
	f("[r1a, r1b]", "[r1a, r9]", `t.yaml:16:13: spec.twins[0][1]: no zone of this name is declared, got "r9"`)
	f("[r1a, r1b]", "[r1a]", "spec.twins[0]: want a pair of two zones")
	f("[r1a, r1b]", "[r1a, r1b]\n    - [r1a, r2a]", "spec.twins[1][0]: has a twin already, r1b")
	f("kind: Topology", "kind: SLA", "want nines/v1 Topology")
	f("name: First", "nmae: First", "nmae")
}

// The order of files does not matter: twins may be declared before their zones.
func TestFilesAreReadTogether(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml": strings.Replace(twoZones, "[r1a, r1b]", "[r1a, r3a]", 1),
		"b.yaml": "apiVersion: nines/v1\nkind: Topology\nspec:\n  regions:\n    - {id: r3, country: SA, location: {latitude: 24, longitude: 46}, zones: [r3a]}\n",
		"c.txt":  "no topology",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	top, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if twin, _ := top.Twin("r3a"); twin == nil || twin.ID != "r1a" {
		t.Errorf("twin %+v", twin)
	}
	if _, err := Load(filepath.Join(dir, "none.yaml")); err == nil {
		t.Error("a file that is not there was read")
	}
}

// Known great-circle distances, to within half a percent (the Earth is no
// sphere).
func TestDistance(t *testing.T) {
	f := func(a, b Location, want float64) {
		t.Helper()
		if got := a.Distance(b); math.Abs(got-want) > want/200 {
			t.Errorf("%v to %v: %.0f km, want %.0f", a, b, got, want)
		}
	}
	f(Location{51.5, -0.1}, Location{50.1, 8.7}, 640)
	f(Location{25.2, 55.3}, Location{1.35, 103.8}, 5839)
	f(Location{0, 179}, Location{0, -179}, 222.4)
	f(Location{90, 0}, Location{-90, 0}, 20015)
}

const shipped = "../../configs/topology"

func TestShippedTopology(t *testing.T) {
	top, err := Load(shipped)
	if err != nil {
		t.Fatal(err)
	}
	if len(top.Regions) != 29 || top.Zones() != 92 {
		t.Fatalf("%d regions, %d zones", len(top.Regions), top.Zones())
	}
	data, err := os.ReadFile("../../../shared/data/alibaba-regions/regions_2025-10.json")
	if err != nil {
		t.Skipf("the list of regions is not here: %v", err)
	}
	var list struct {
		Regions []struct {
			ID      string `json:"region_id"`
			City    string
			Country string
			Zones   []string
		}
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Regions) != len(top.Regions) {
		t.Errorf("%d regions, the list has %d", len(top.Regions), len(list.Regions))
	}
	for _, want := range list.Regions {
		r, ok := top.Region(want.ID)
		if !ok {
			t.Errorf("%s is missing", want.ID)
			continue
		}
		var zones []string
		for _, z := range r.Zones {
			zones = append(zones, z.ID)
		}
		if r.Country != want.Country || r.Name != want.City || !slices.Equal(zones, want.Zones) {
			t.Errorf("%+v, the list has %+v", r, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(twoZones))
	f.Add([]byte("apiVersion: nines/v1\nkind: Topology\nspec: {regions: [{zones: [{}]}], twins: [[]]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		top, err := Parse("f.yaml", data)
		if err != nil {
			return
		}
		for _, r := range top.Regions {
			for _, z := range r.Zones {
				if twin, ok := top.Twin(z.ID); ok && twin.Twin != z.ID {
					t.Fatalf("%s has the twin %s, whose twin is %s", z.ID, twin.ID, twin.Twin)
				}
			}
		}
	})
}
