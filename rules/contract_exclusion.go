package rules

import (
	"fmt"
	"strconv"
	"time"

	"nines/internal/access"
	"nines/internal/sla"
	"nines/internal/yamlconf"
)

type exclusionSpec struct {
	Start      string          `yaml:"start"`
	End        string          `yaml:"end"`
	Recurs     *recurrenceSpec `yaml:"recurs"`
	Announced  string          `yaml:"announced"`
	Effect     string          `yaml:"effect"`
	Category   string          `yaml:"category"`
	Reason     string          `yaml:"reason"`
	Author     string          `yaml:"author"`
	Evidence   string          `yaml:"evidence"`
	ApprovedBy string          `yaml:"approvedBy"`
}

func (c *compiler) exclusion(d *yamlconf.Doc, at string, e *exclusionSpec, zone string) sla.Exclusion {
	out := sla.Exclusion{Effect: sla.Effect(e.Effect), Category: e.Category, Reason: e.Reason, Author: e.Author, Evidence: e.Evidence, ApprovedBy: e.ApprovedBy}
	if e.Recurs == nil || e.Start != "" {
		out.Start = c.instant(d, at+".start", e.Start)
	}
	if e.Recurs == nil || e.End != "" {
		out.End = c.instant(d, at+".end", e.End)
	}
	if e.Announced != "" {
		out.Announced = c.instant(d, at+".announced", e.Announced)
	}
	if e.Recurs != nil {
		out.Recurs = c.recurrence(d, at+".recurs", e.Recurs, zone)
	}
	if out.End <= out.Start && (e.Recurs == nil || out.End != 0) {
		c.fail(d, at+".end", e.End, "want an end after the start")
	}
	if out.Effect != sla.Removed && out.Effect != sla.Available {
		c.fail(d, at+".effect", e.Effect, "want removed or available")
	}
	for _, field := range [][2]string{{"category", e.Category}, {"reason", e.Reason}, {"author", e.Author}} {
		if field[1] == "" {
			c.fail(d, at+"."+field[0], nil, "is required")
		}
	}
	if e.ApprovedBy != "" && (access.SamePerson(e.ApprovedBy, e.Author) || access.SamePerson(e.ApprovedBy, "")) {
		c.fail(d, at+".approvedBy", e.ApprovedBy, "want somebody else than the author")
	}
	if e.ApprovedBy == "" {
		c.warn(d, at, nil, "is listed in settlements and not applied: it has no approvedBy")
	}
	return out
}

func (c *compiler) instant(d *yamlconf.Doc, at, text string) int64 {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		c.fail(d, at, text, "want a time with its offset such as %s", "2026-11-02T10:30:00Z")
		return 0
	}
	return t.UnixMilli()
}

// LoadZone loads the time zone of a contract.
func LoadZone(c *sla.Contract) (*time.Location, error) {
	loc, err := loadZone(c.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("load time zone %q of contract %s: %w", c.TimeZone, c.Name, err)
	}
	return loc, nil
}

// ReadExclusions reads a document with the field exclusions, as a contract has
// it, for that contract.
func ReadExclusions(name string, data []byte, contract *sla.Contract) ([]sla.Exclusion, error) {
	docs, err := yamlconf.Parse(name, data)
	if err != nil {
		return nil, err
	}
	c := newCompiler()
	var out []sla.Exclusion
	for _, d := range docs {
		var spec struct {
			Exclusions []exclusionSpec `yaml:"exclusions"`
		}
		if err := d.Decode(&spec); err != nil {
			c.errs = c.errs.Append(name, err)
			continue
		}
		for i := range spec.Exclusions {
			out = append(out, c.exclusion(d, "exclusions["+strconv.Itoa(i)+"]", &spec.Exclusions[i], contract.TimeZone))
		}
	}
	return out, c.errs.Err()
}

// ReadExclusion reads one exclusion, as a contract has it, at a path of a
// document, for that contract.
func ReadExclusion(d *yamlconf.Doc, at string, raw yamlconf.Raw, contract *sla.Contract) (*sla.Exclusion, error) {
	var spec exclusionSpec
	if err := raw.Decode(&spec); err != nil {
		return nil, err
	}
	c := newCompiler()
	out := c.exclusion(d, at, &spec, contract.TimeZone)
	return &out, c.errs.Err()
}
