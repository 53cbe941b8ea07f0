package inventory

import (
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nines/internal/yamlconf"
)

// document is an inventory as people write it.
type document struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Spec struct {
		Resources []resourceSpec `yaml:"resources"`
	} `yaml:"spec"`
}

// resourceSpec is one resource with its facts.
type resourceSpec struct {
	Name  string            `yaml:"name"`
	Match map[string]string `yaml:"match"`
	Facts []factSpec        `yaml:"facts"`
}

// factSpec is what holds from an instant on.
type factSpec struct {
	From     string       `yaml:"from"`
	Match    yamlconf.Raw `yaml:"match"`
	State    *string      `yaml:"state"`
	Customer *string      `yaml:"customer"`
	Reseller *string      `yaml:"reseller"`
	Product  *string      `yaml:"product"`
	Region   *string      `yaml:"region"`
	Zone     *string      `yaml:"zone"`
	Contract *string      `yaml:"contract"`
	Fee      *string      `yaml:"fee"`
}

// Read reads facts from a file: CSV where its name ends in .csv, else YAML or
// JSON. It returns every mistake with its position. Whether the facts can be
// true, together with what is known, Plan says.
func Read(name string, data []byte) ([]Entry, error) {
	if strings.EqualFold(filepath.Ext(name), ".csv") {
		return readCSV(name, data)
	}
	docs, err := yamlconf.Parse(name, data)
	if err != nil {
		return nil, err
	}
	r := &reader{}
	for _, doc := range docs {
		for _, d := range doc.Items() {
			r.document(d)
		}
	}
	if len(docs) == 0 {
		r.errs = append(r.errs, yamlconf.Error{File: name, Line: 1, Col: 1, Reason: "is empty: want apiVersion: nines/v1, kind: Inventory"})
	}
	return r.entries, r.errs.Err()
}

// ReadResources reads the field resources of a document, as Read does of spec.
func ReadResources(d *yamlconf.Doc, at string, raw yamlconf.Raw) ([]Entry, error) {
	var specs []resourceSpec
	if err := raw.Decode(&specs); err != nil {
		return nil, err
	}
	r := &reader{}
	r.resources(d, at, specs)
	return r.entries, r.errs.Err()
}

type reader struct {
	entries []Entry
	errs    yamlconf.Errors
}

func (r *reader) fail(d *yamlconf.Doc, path string, got any, reason string) {
	r.errs = append(r.errs, d.Errorf(path, got, "%s", reason))
}

func (r *reader) document(d *yamlconf.Doc) {
	var doc document
	if version, kind := d.Text("apiVersion"), d.Text("kind"); version != "nines/v1" || kind != "Inventory" {
		r.fail(d, "", nil, "want apiVersion: nines/v1 and kind: Inventory")
		return
	}
	if err := d.Decode(&doc); err != nil {
		r.errs = r.errs.Append(d.File(), err)
		return
	}
	if len(doc.Spec.Resources) == 0 {
		r.fail(d, "spec.resources", nil, "is required")
	}
	r.resources(d, "spec.resources", doc.Spec.Resources)
}

func (r *reader) resources(d *yamlconf.Doc, at string, specs []resourceSpec) {
	for i := range specs {
		s := &specs[i]
		path := at + "[" + strconv.Itoa(i) + "]"
		if err := plain(s.Name); err != nil {
			r.fail(d, path+".name", s.Name, err.Error())
			continue
		}
		if len(s.Facts) == 0 {
			r.fail(d, path+".facts", nil, "is required: what holds, and from when")
		}
		first, ok := int64(0), false
		for k := range s.Facts {
			if from, good := r.facts(d, path+".facts["+strconv.Itoa(k)+"]", s.Name, &s.Facts[k]); good && (!ok || from < first) {
				first, ok = from, true
			}
		}
		if len(s.Match) > 0 && ok {
			r.match(d, path+".match", s.Name, first, s.Match)
		}
	}
}

// facts reads one instant of a resource.
func (r *reader) facts(d *yamlconf.Doc, at, resource string, s *factSpec) (from int64, ok bool) {
	from, err := yamlconf.ParseInstant(s.From)
	if err != nil {
		r.fail(d, at+".from", s.From, err.Error())
		return 0, false
	}
	before := len(r.entries) + len(r.errs)
	for _, v := range s.values() {
		if v.text != nil {
			r.entry(d, at+"."+string(v.attribute), resource, v.attribute, from, *v.text)
		}
	}
	switch text, scalar := s.Match.Text(); {
	case s.Match.IsZero():
	case scalar && text == Withdrawn:
		r.entry(d, at+".match", resource, Match, from, text)
	default:
		var labels map[string]string
		if err := s.Match.Decode(&labels); err != nil {
			r.errs = r.errs.Append(d.File(), err)
		} else {
			r.match(d, at+".match", resource, from, labels)
		}
	}
	if len(r.entries)+len(r.errs) == before {
		r.fail(d, at, nil, "tells nothing: want at least one of "+names())
	}
	return from, true
}

// told is the text of an attribute, nil where it is not mentioned.
type told struct {
	attribute Attribute
	text      *string
}

func (s *factSpec) values() []told {
	return []told{{State, s.State}, {Customer, s.Customer}, {Reseller, s.Reseller}, {Product, s.Product},
		{Region, s.Region}, {Zone, s.Zone}, {Contract, s.Contract}, {Fee, s.Fee}}
}

func (r *reader) entry(d *yamlconf.Doc, at, resource string, a Attribute, from int64, text string) {
	f, err := fact(resource, a, from, text)
	if err != nil {
		r.fail(d, at, text, err.Error())
		return
	}
	r.entries = append(r.entries, Entry{f, d.Errorf(at, nil, "")})
}

func (r *reader) match(d *yamlconf.Doc, at, resource string, from int64, labels map[string]string) {
	checked := map[string]string{}
	var err error
	for name, value := range labels {
		err = errors.Join(err, label(checked, name, value))
	}
	if err == nil && len(labels) == 0 {
		err = errors.New("want at least one label")
	}
	if err != nil {
		r.errs = append(r.errs, d.Place(at, err)...)
		return
	}
	if slices.ContainsFunc(r.entries, func(e Entry) bool { return e.key() == key{resource, Match, from} }) {
		r.fail(d, at, nil, "the match of "+resource+" at "+stamp(from)+" is given twice")
		return
	}
	r.entries = append(r.entries, Entry{Fact{Resource: resource, Attribute: Match, From: from, Value: FormatMatch(checked)}, d.Errorf(at, nil, "")})
}
