package scenario

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"nines/internal/access"
	"nines/internal/scenario/script"
	"nines/internal/sla"
	"nines/internal/sla/clauses"
	"nines/internal/slo"
	"nines/internal/yamlconf"
	"nines/rules"
	"nines/statement"
)

// settle settles a month, from facts or from the ledger, and compares its keys.
func (r *run) settle(ctx context.Context, step *script.Step) error {
	c, err := r.contract(step)
	if err != nil {
		return err
	}
	with := *c
	with.Exclusions = slices.Clip(with.Exclusions)
	for _, x := range r.exclusions {
		with.Exclusions = append(with.Exclusions, x.Exclusion)
	}
	var s *sla.Settlement
	if r.world != nil {
		s, err = statement.Build(ctx, r.world.led, statement.Request{Principal: access.Local(), Contract: &with, Month: step.Want, AsOf: r.world.now,
			Stream: func(id string) *slo.Stream { return r.set.Streams[id] }})
	} else {
		s, err = r.settleFacts(&with, step)
	}
	if err != nil {
		return err
	}
	what := "the settlement of " + step.Name + " for " + step.Want
	if step.Action == script.Settle {
		r.settled[step.Name+" "+step.Want] = s
		return r.compare(step, s, what)
	}
	before := r.settled[step.Name+" "+step.Want]
	if before == nil {
		return at(step.Pos, "restates what was not settled before: want settle "+step.Name+" "+step.Want+" above")
	}
	again, err := r.restate(&with, step, before, s)
	if err != nil {
		return err
	}
	return r.compare(step, again, "the restatement of "+step.Name+" for "+step.Want)
}

// restate settles again what was settled before.
func (r *run) restate(c *sla.Contract, step *script.Step, before, next *sla.Settlement) (*clauses.Restated, error) {
	loc, err := rules.LoadZone(c)
	if err != nil {
		return nil, err
	}
	period, err := statement.Period(c, step.Want, loc)
	if err != nil {
		return nil, at(step.Pos, err.Error())
	}
	when := period.End
	if r.world != nil {
		when = max(when, r.world.now)
	}
	again, err := clauses.Restate(c, period, before.Credit.Minor, *next, clauses.Request{Replaces: before.Period, At: when,
		Reason: "restated", Author: step.Author, ApprovedBy: step.ApprovedBy})
	if err != nil {
		return nil, at(step.Pos, err.Error())
	}
	return again, nil
}

// compare compares the keys of a settlement, as its JSON has them.
func (r *run) compare(step *script.Step, s any, what string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write %s: %w", what, err)
	}
	var doc any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	for _, k := range step.Keys {
		if got := find(doc, k.Name); got != k.Want {
			r.fail(k.Pos, k.Name+" "+k.Want+" in "+what, got)
		}
	}
	return nil
}

// find returns the value at a path such as credit.amount,
// objectives.availability.slots.bad or steps. Elements of lists go by their name.
func find(doc any, path string) string {
	at, rest := doc, path
	for rest != "" {
		switch v := at.(type) {
		case map[string]any:
			key := rest
			if i := strings.IndexByte(rest, '.'); i >= 0 {
				key = rest[:i]
			}
			next, ok := v[key]
			if !ok {
				return "no key " + key + ", only " + keys(v)
			}
			at, rest = next, strings.TrimPrefix(rest[len(key):], ".")
		case []any:
			next, name, names := named(v, rest)
			if next == nil {
				return "none of this name, only " + list(names)
			}
			at, rest = next, strings.TrimPrefix(rest[len(name):], ".")
		default:
			return "no key below " + strings.TrimSuffix(path, "."+rest)
		}
	}
	switch v := at.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case nil:
		return ""
	}
	return "no single value"
}

func keys(m map[string]any) string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return strings.Join(out, ", ")
}

// named returns the element whose name begins the path; names may hold dots, so
// the longest one counts.
func named(all []any, path string) (element any, name string, names []string) {
	for _, e := range all {
		m, _ := e.(map[string]any)
		n, _ := m["name"].(string)
		names = append(names, n)
		if (path == n || strings.HasPrefix(path, n+".")) && (element == nil || len(n) > len(name)) {
			element, name = e, n
		}
	}
	return element, name, names
}

// settleFacts settles from the scenario's facts, as nines settle does.
func (r *run) settleFacts(c *sla.Contract, step *script.Step) (*sla.Settlement, error) {
	loc, err := rules.LoadZone(c)
	if err != nil {
		return nil, err
	}
	period, err := statement.Period(c, step.Want, loc)
	if err != nil {
		return nil, at(step.Pos, err.Error())
	}
	in, err := r.readFacts(c)
	if err != nil {
		return nil, err
	}
	s := clauses.Settle(c, period, loc, in)
	return &s, nil
}

// readFacts gives the facts to the reader of nines settle; mistakes that it finds
// in facts of the scenario are reported at their lines there.
func (r *run) readFacts(c *sla.Contract) (sla.Input, error) {
	if f := r.s.FactsFile; f.Name != "" {
		path := beside(f)
		data, err := os.ReadFile(path)
		if err != nil {
			return sla.Input{}, at(f.Pos, err.Error())
		}
		return rules.ReadFacts(path, data, c)
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"resource", "zone", "start", "end", "state", "value"}}
	lines := []script.Pos{r.s.Pos}
	for i := range r.facts {
		for _, row := range factRows(&r.facts[i]) {
			rows = append(rows, row)
			lines = append(lines, r.facts[i].Pos)
		}
	}
	if err := w.WriteAll(rows); err != nil {
		return sla.Input{}, fmt.Errorf("write facts: %w", err)
	}
	in, err := rules.ReadFacts(r.s.File, b.Bytes(), c)
	var errs yamlconf.Errors
	if errors.As(err, &errs) {
		moved := slices.Clone(errs)
		for i := range moved {
			e := &moved[i]
			if e.Line >= 1 && e.Line <= len(lines) {
				e.Line, e.Col = lines[e.Line-1].Line, lines[e.Line-1].Col
			}
		}
		return in, moved.Err()
	}
	return in, err
}

// factRows returns the rows that a fact stands for. A resource that was only up
// is mentioned by a millisecond long ago in which it was stopped.
func factRows(f *script.Fact) (rows [][]string) {
	for _, name := range f.Resources {
		if f.State == script.Up {
			rows = append(rows, []string{name, f.Zone, stamp(0), stamp(1), "stopped", ""})
			continue
		}
		for n := range int64(f.Count) {
			rows = append(rows, []string{name, f.Zone, stamp(f.Start + n*f.Every), stamp(f.End + n*f.Every), f.State, f.Value})
		}
	}
	return rows
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999Z07:00") }
