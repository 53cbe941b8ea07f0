package inventory

import (
	"slices"
	"strconv"

	"nines/internal/yamlconf"
)

// Entry is a fact with its place in a file.
type Entry struct {
	Fact
	// At says where it was read; its reason is empty.
	At yamlconf.Error
}

// Change is a fact that is new, or that corrects what was recorded.
type Change struct {
	Fact
	// Corrects is the record whose place it takes, nil where it is new.
	Corrects *Record
}

// Plan returns what entries add to the records: nothing where they tell what is
// known. It refuses, with all mistakes at their places, what together with the
// records cannot be true.
func Plan(known []Record, entries []Entry) ([]Change, error) {
	current := map[key]*Record{}
	for i := range known {
		r := &known[i]
		if was := current[r.key()]; was == nil || was.ID < r.ID {
			current[r.key()] = r
		}
	}
	var changes []Change
	var errs yamlconf.Errors
	all, seen, next := append([]Record(nil), known...), map[key]bool{}, int64(1)
	for _, r := range known {
		next = max(next, r.ID+1)
	}
	touched := map[string]bool{}
	for i := range entries {
		e := &entries[i]
		was := current[e.key()]
		switch {
		case seen[e.key()]:
			errs = append(errs, e.fail("the "+string(e.Attribute)+" of "+e.Resource+" at this instant is given twice"))
			continue
		case e.Withdrawn && (was == nil || was.Withdrawn && was.Supersedes == 0):
			errs = append(errs, e.fail("there is no such fact to be withdrawn: want the instant from which it was recorded"))
			continue
		}
		seen[e.key()] = true
		if was != nil && was.Value == e.Value && was.Withdrawn == e.Withdrawn {
			continue
		}
		touched[e.Resource] = true
		changes = append(changes, Change{e.Fact, was})
		all = append(all, Record{ID: next, Fact: e.Fact})
		next++
	}
	if len(errs) == 0 {
		for _, p := range At(all, 0).Check() {
			if touched[p.Resource] || touched[p.Other] {
				errs = append(errs, place(p, entries))
			}
		}
	}
	return changes, errs.Err()
}

func (e *Entry) fail(reason string) yamlconf.Error {
	out := e.At
	out.Reason, out.Got = reason, strconv.Quote(e.Text())
	return out
}

// place finds where a problem was written: its fact, else another of the
// resource.
func place(p Problem, entries []Entry) yamlconf.Error {
	best := -1
	for i := range entries {
		e := &entries[i]
		if e.Resource != p.Resource && e.Resource != p.Other {
			continue
		}
		if best < 0 || e.Resource == p.Resource && e.Attribute == p.Attribute && (e.From == p.From || entries[best].Attribute != p.Attribute) {
			best = i
		}
	}
	if best < 0 {
		return yamlconf.Error{File: "inventory", Reason: p.Error()}
	}
	out := entries[best].At
	out.Reason = p.Error()
	return out
}

// Changes returns what records that were made changed of those known before.
func Changes(made, known []Record) []Change {
	var out []Change
	for _, r := range made {
		c := Change{Fact: r.Fact}
		if i := slices.IndexFunc(known, func(k Record) bool { return k.ID == r.Supersedes }); i >= 0 {
			c.Corrects = &known[i]
		}
		out = append(out, c)
	}
	return out
}
