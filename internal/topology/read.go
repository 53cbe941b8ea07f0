package topology

import (
	"fmt"
	"slices"
	"strings"

	"nines/internal/yamlconf"
)

// Kind and Version name the documents that this package reads.
const (
	Kind    = "Topology"
	Version = "nines/v1"
)

// document is the YAML of one topology.
type document struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name        string `yaml:"name"`
		DisplayName string `yaml:"displayName"`
	} `yaml:"metadata"`
	Spec struct {
		Regions []regionSpec `yaml:"regions"`
		// Twins are pairs of zones.
		Twins [][]string `yaml:"twins"`
	} `yaml:"spec"`
}

type regionSpec struct {
	ID        string        `yaml:"id"`
	Name      string        `yaml:"name"`
	Country   string        `yaml:"country"`
	Location  *locationSpec `yaml:"location"`
	Residency string        `yaml:"residency"`
	Zones     []zoneSpec    `yaml:"zones"`
}

type locationSpec struct {
	Latitude  float64 `yaml:"latitude"`
	Longitude float64 `yaml:"longitude"`
}

// zoneSpec is {id, name}, or the ID alone.
type zoneSpec struct {
	ID   string `yaml:"id"`
	Name string `yaml:"name"`
}

// UnmarshalYAML reads either form.
func (z *zoneSpec) UnmarshalYAML(decode func(any) error) error {
	if decode(&z.ID) == nil {
		return nil
	}
	type plain zoneSpec
	return decode((*plain)(z))
}

// pair is a declaration of twins, with its place for messages.
type pair struct {
	doc  *yamlconf.Doc
	path string
	ids  []string
}

// compiler collects all documents first, so that twins are found in any order.
type compiler struct {
	errs    yamlconf.Errors
	regions []Region
	twins   []pair
	seen    map[string]string // region/ID or zone/ID → where it was declared
}

func (c *compiler) file(name string, data []byte) {
	docs, err := yamlconf.Parse(name, data)
	if err != nil {
		c.errs = c.errs.Append(name, err)
		return
	}
	for _, doc := range docs {
		for _, d := range doc.Items() {
			c.document(d)
		}
	}
}

func (c *compiler) fail(d *yamlconf.Doc, path string, got any, format string, args ...any) {
	c.errs = append(c.errs, d.Errorf(path, got, format, args...))
}

func (c *compiler) document(d *yamlconf.Doc) {
	var in document
	if err := d.Decode(&in); err != nil {
		c.errs = c.errs.Append(d.File(), err)
		return
	}
	if in.APIVersion != Version || in.Kind != Kind {
		c.fail(d, "kind", in.APIVersion+" "+in.Kind, "want %s %s", Version, Kind)
		return
	}
	if len(in.Spec.Regions) == 0 {
		c.fail(d, "spec.regions", nil, "is required: at least one region")
	}
	for i, r := range in.Spec.Regions {
		c.region(d, fmt.Sprintf("spec.regions[%d]", i), r)
	}
	for i, ids := range in.Spec.Twins {
		c.twins = append(c.twins, pair{d, fmt.Sprintf("spec.twins[%d]", i), ids})
	}
}

// id checks a name that becomes the value of a label, and that it is new.
func (c *compiler) id(d *yamlconf.Doc, path, what, id string) {
	if id == "" || len(id) > 128 || strings.TrimSpace(id) != id || strings.ContainsAny(id, "\n\t\"") {
		c.fail(d, path, id, "want the value of the label %s", what)
		return
	}
	key := what + "/" + id
	if before, ok := c.seen[key]; ok {
		c.fail(d, path, id, "this %s is declared already at %s", what, before)
		return
	}
	if c.seen == nil {
		c.seen = map[string]string{}
	}
	c.seen[key] = fmt.Sprintf("%s:%d", d.File(), d.Line(path))
}

func (c *compiler) region(d *yamlconf.Doc, at string, in regionSpec) {
	c.id(d, at+".id", "region", in.ID)
	out := Region{ID: in.ID, Name: in.Name, Country: in.Country, Residency: in.Residency, Source: fmt.Sprintf("%s:%d", d.File(), d.Line(at))}
	if out.Name == "" {
		out.Name = in.ID
	}
	if len(in.Country) != 2 || strings.Trim(in.Country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		c.fail(d, at+".country", in.Country, "want an ISO 3166 code of two capital letters, such as AE")
	}
	if in.Location == nil {
		c.fail(d, at+".location", nil, "is required: {latitude, longitude} in degrees")
	} else {
		out.Location = Location(*in.Location)
		if l := out.Location; !(l.Latitude >= -90 && l.Latitude <= 90) {
			c.fail(d, at+".location.latitude", l.Latitude, "want from -90 to 90")
		}
		if l := out.Location; !(l.Longitude >= -180 && l.Longitude <= 180) {
			c.fail(d, at+".location.longitude", l.Longitude, "want from -180 to 180")
		}
	}
	if len(in.Zones) == 0 {
		c.fail(d, at+".zones", nil, "is required: at least one zone")
	}
	for i, z := range in.Zones {
		path := fmt.Sprintf("%s.zones[%d]", at, i)
		if d.Has(path + ".id") {
			path += ".id"
		}
		c.id(d, path, "zone", z.ID)
		if z.Name == "" {
			z.Name = z.ID
		}
		out.Zones = append(out.Zones, Zone{ID: z.ID, Name: z.Name, Region: in.ID})
	}
	c.regions = append(c.regions, out)
}

// topology ties everything together, or returns all that is wrong.
func (c *compiler) topology() (*Topology, error) {
	t := &Topology{Regions: c.regions, regions: map[string]*Region{}, zones: map[string]*Zone{}}
	slices.SortStableFunc(t.Regions, func(a, b Region) int { return strings.Compare(a.ID, b.ID) })
	for i := range t.Regions {
		r := &t.Regions[i]
		t.regions[r.ID] = r
		for j := range r.Zones {
			t.zones[r.Zones[j].ID] = &r.Zones[j]
		}
	}
	for _, p := range c.twins {
		c.pair(t, p)
	}
	if err := c.errs.Sorted().Err(); err != nil {
		return nil, err
	}
	return t, nil
}

func (c *compiler) pair(t *Topology, p pair) {
	if len(p.ids) != 2 || p.ids[0] == p.ids[1] {
		c.fail(p.doc, p.path, strings.Join(p.ids, ", "), "want a pair of two zones")
		return
	}
	zones := [2]*Zone{}
	for i, id := range p.ids {
		z, ok := t.zones[id]
		if !ok {
			c.fail(p.doc, fmt.Sprintf("%s[%d]", p.path, i), id, "no zone of this name is declared")
			return
		}
		if z.Twin != "" {
			c.fail(p.doc, fmt.Sprintf("%s[%d]", p.path, i), id, "has a twin already, %s", z.Twin)
			return
		}
		zones[i] = z
	}
	zones[0].Twin, zones[1].Twin = zones[1].ID, zones[0].ID
}
