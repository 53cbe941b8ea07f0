// Package topology says where things stand: regions with their country and
// place, their zones, and which data centres are twins, each the other's
// disaster recovery. It reads YAML documents of kind Topology and promises that
// every mistake is reported at once as file:line:col, and that the relation of
// twins is mutual. The simulator plays fleets on it, nines check reads it, and
// whatever shows places by name or on a map can ask it.
package topology

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Region is a place with one or more zones, from which raw telemetry does not
// leave.
type Region struct {
	// ID is the value of the label region, unique in the topology.
	ID string
	// Name is for people; the ID where none is declared.
	Name string
	// Country is an ISO 3166-1 alpha-2 code.
	Country string
	// Location is about where the region lies: good enough for a map and for
	// distances, no address.
	Location Location
	// Residency says what may not leave the region, for people.
	Residency string
	Zones     []Zone
	// Source is file:line of the declaration.
	Source string
}

// Zone is a data centre, or several that fail together.
type Zone struct {
	// ID is the value of the label zone, unique in the topology.
	ID string
	// Name is for people; the ID where none is declared.
	Name string
	// Region is the ID of its region.
	Region string
	// Twin is the ID of the zone that takes over when this one is lost, and the
	// other way round; empty where there is none.
	Twin string
}

// Location is a place on the Earth in degrees, north and east positive.
type Location struct{ Latitude, Longitude float64 }

// earthRadius is the mean radius in kilometres (IUGG).
const earthRadius = 6371.0088

// Distance returns the kilometres between two places along the great circle,
// by the haversine formula.
func (l Location) Distance(o Location) float64 {
	rad := func(deg float64) float64 { return deg * math.Pi / 180 }
	sin2 := func(x float64) float64 { return math.Pow(math.Sin(x/2), 2) }
	h := sin2(rad(o.Latitude-l.Latitude)) + math.Cos(rad(l.Latitude))*math.Cos(rad(o.Latitude))*sin2(rad(o.Longitude-l.Longitude))
	return 2 * earthRadius * math.Asin(math.Sqrt(min(1, h)))
}

// Topology is all regions of the files that were read. It does not change.
type Topology struct {
	// Regions in order of their IDs.
	Regions []Region
	regions map[string]*Region
	zones   map[string]*Zone
}

// Region returns the region of that ID.
func (t *Topology) Region(id string) (*Region, bool) {
	r, ok := t.regions[id]
	return r, ok
}

// Zone returns the zone of that ID.
func (t *Topology) Zone(id string) (*Zone, bool) {
	z, ok := t.zones[id]
	return z, ok
}

// Zones returns how many zones there are.
func (t *Topology) Zones() int { return len(t.zones) }

// Twin returns the zone that takes over for the one of that ID.
func (t *Topology) Twin(zone string) (*Zone, bool) {
	z, ok := t.zones[zone]
	if !ok || z.Twin == "" {
		return nil, false
	}
	return t.Zone(z.Twin)
}

// Country returns the country in which the zone of that ID lies, "" where it is
// not known.
func (t *Topology) Country(zone string) string {
	if z, ok := t.zones[zone]; ok {
		return t.regions[z.Region].Country
	}
	return ""
}

// Load reads files, and the *.yaml and *.yml files of folders, together: zones
// of one file may be twins of another's.
func Load(paths ...string) (*Topology, error) {
	var c compiler
	for _, p := range paths {
		files, err := filesOf(p)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				return nil, fmt.Errorf("read topology: %w", err)
			}
			c.file(f, data)
		}
	}
	return c.topology()
}

// Parse reads one file's documents; name stands in errors.
func Parse(name string, data []byte) (*Topology, error) {
	var c compiler
	c.file(name, data)
	return c.topology()
}

func filesOf(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read topology: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("read topology: %w", err)
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(e.Name())) {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	return files, nil
}
