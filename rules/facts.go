package rules

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"nines/internal/sla"
	"nines/internal/yamlconf"
)

// factColumns are the columns of a file of facts, in their order.
var factColumns = []string{"resource", "zone", "start", "end", "state", "value"}

// maxEvents is the greatest number of events of a slot in a file of facts;
// shares of lost traffic are written as parts of it.
const maxEvents = 1_000_000_000_000_000

// fact is one row.
type fact struct {
	line             int
	resource, zone   string
	start, end       int64
	state            string
	total, bad, slow uint64
}

// ReadFacts reads what happened to the resources of a contract from CSV:
// resource, zone, start, end, state, value. What no row mentions was good and
// running. Every mistake is reported with its position.
func ReadFacts(name string, data []byte, contract *sla.Contract) (sla.Input, error) {
	r := &factReader{file: name, contract: contract, csv: csv.NewReader(bytes.NewReader(data)), zones: map[string]string{}}
	r.csv.FieldsPerRecord = -1
	r.csv.ReuseRecord = true
	if r.header() {
		for r.next() {
		}
	}
	r.overlaps()
	if err := r.errs.Err(); err != nil {
		return sla.Input{}, err
	}
	return r.input(), nil
}

type factReader struct {
	file     string
	contract *sla.Contract
	csv      *csv.Reader
	errs     yamlconf.Errors
	facts    []fact
	names    []string          // of resources, in the order of their first rows
	zones    map[string]string // by resource
}

func (r *factReader) fail(column int, reason, got string) {
	line, col := r.csv.FieldPos(column)
	r.errs = append(r.errs, yamlconf.Error{File: r.file, Line: line, Col: col, Path: factColumns[column], Reason: reason, Got: strconv.Quote(got)})
}

func (r *factReader) header() bool {
	row, err := r.csv.Read()
	want := "want the header " + strings.Join(factColumns, ",")
	switch {
	case errors.Is(err, io.EOF):
		r.errs = append(r.errs, yamlconf.Error{File: r.file, Line: 1, Col: 1, Reason: want})
		return false
	case err != nil:
		r.errs = append(r.errs, yamlconf.NoCSV(r.file, err))
		return false
	case !slices.Equal(row, factColumns):
		r.errs = append(r.errs, yamlconf.Error{File: r.file, Line: 1, Col: 1, Reason: want, Got: strconv.Quote(strings.Join(row, ","))})
		return false
	}
	return true
}

// next reads one row; false at the end.
func (r *factReader) next() bool {
	row, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		return false
	}
	if err != nil {
		r.errs = append(r.errs, yamlconf.NoCSV(r.file, err))
		return false
	}
	line, col := r.csv.FieldPos(0)
	if len(row) != len(factColumns) {
		r.errs = append(r.errs, yamlconf.Error{File: r.file, Line: line, Col: col, Reason: "want " + strconv.Itoa(len(factColumns)) + " columns", Got: strconv.Itoa(len(row))})
		return true
	}
	before := len(r.errs)
	f := fact{line: line, resource: strings.Clone(row[0]), zone: strings.Clone(row[1]), state: strings.Clone(row[4])}
	f.start, f.end = r.instant(2, row[2]), r.instant(3, row[3])
	if len(r.errs) == before && f.end <= f.start {
		r.fail(3, "want an end after the start", row[3])
	}
	r.place(&f)
	r.value(&f, row[5])
	if len(r.errs) == before {
		r.facts = append(r.facts, f)
	}
	return true
}

func (r *factReader) instant(column int, text string) int64 {
	at, err := yamlconf.ParseInstant(text)
	if err != nil {
		r.fail(column, err.Error(), text)
	}
	return at
}

// place checks resource and zone.
func (r *factReader) place(f *fact) {
	if f.resource == "" {
		r.fail(0, "is required", "")
		return
	}
	zone, known := r.zones[f.resource]
	switch {
	case !known:
		r.zones[f.resource] = f.zone
		r.names = append(r.names, f.resource)
	case zone != f.zone:
		r.fail(1, "resource "+f.resource+" is in zone "+strconv.Quote(zone)+" above", f.zone)
	}
	for i := range r.contract.Objectives {
		if o := &r.contract.Objectives[i]; o.Zones != nil && f.zone == "" {
			r.fail(1, "is required: objective "+o.Name+" is about zones", "")
			return
		}
	}
}

// value checks state and value.
func (r *factReader) value(f *fact, text string) {
	switch f.state {
	case "down", "unknown", "stopped":
		if text != "" {
			r.fail(5, "belongs to the states loss and requests", text)
		}
	case "loss":
		share, err := parseDecimal(text)
		if err != nil || share.Num > share.Den {
			r.fail(5, "want the share of traffic lost, from 0 to 1", text)
			return
		}
		f.total, f.bad = maxEvents, share.Num*(maxEvents/share.Den)
		f.slow = f.bad
		for i := range r.contract.Objectives {
			if o := &r.contract.Objectives[i]; o.Denominator == sla.Requests {
				r.fail(4, "does not fit objective "+o.Name+", which counts requests: give requests", f.state)
				return
			}
		}
	case "requests":
		if !f.requests(text) {
			r.fail(5, "want total:bad or total:bad:above, counts up to 10^15, none above the total", text)
		}
	default:
		r.fail(4, "want down, unknown, stopped, loss or requests", f.state)
	}
}

func (f *fact) requests(text string) bool {
	parts := strings.Split(text, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return false
	}
	var n [3]uint64
	for i, part := range parts {
		v, err := strconv.ParseUint(part, 10, 64)
		if err != nil || v > maxEvents || strings.HasPrefix(part, "+") {
			return false
		}
		n[i] = v
	}
	f.total, f.bad, f.slow = n[0], n[1], n[2]
	if len(parts) == 2 {
		f.slow = f.bad // what failed was slower than every threshold
	}
	return f.bad <= f.total && f.slow <= f.total
}

// overlaps refuses two counts of the same time.
func (r *factReader) overlaps() {
	counts := slices.DeleteFunc(slices.Clone(r.facts), func(f fact) bool { return f.state != "loss" && f.state != "requests" })
	slices.SortStableFunc(counts, func(a, b fact) int {
		return cmp.Or(cmp.Compare(a.resource, b.resource), cmp.Compare(a.start, b.start))
	})
	for i := 1; i < len(counts); i++ {
		a, b := &counts[i-1], &counts[i]
		if a.resource == b.resource && b.start < a.end {
			later := max(a.line, b.line)
			r.errs = append(r.errs, yamlconf.Error{File: r.file, Line: later, Col: 1, Path: "start",
				Reason: "loss or requests of " + a.resource + " are already given for a part of this time, in line " + strconv.Itoa(min(a.line, b.line))})
		}
	}
}

// input makes the spans of each objective.
func (r *factReader) input() sla.Input {
	in := sla.Input{Exact: true, Resources: map[string][]sla.Resource{}}
	if len(r.names) == 0 {
		r.names = []string{"all"}
	}
	at := map[string]int{}
	for i, name := range r.names {
		at[name] = i
	}
	for i := range r.contract.Objectives {
		o := &r.contract.Objectives[i]
		list := make([]sla.Resource, len(r.names))
		for k, name := range r.names {
			list[k] = sla.Resource{Name: name, Zone: r.zones[name]}
		}
		for j := range r.facts {
			f := &r.facts[j]
			res := &list[at[f.resource]]
			if f.state == "stopped" {
				res.Stopped = append(res.Stopped, sla.Interval{Start: f.start, End: f.end})
			} else if s, ok := f.span(o); ok {
				res.Spans = append(res.Spans, s)
			}
		}
		in.Resources[o.Name] = list
	}
	return in
}

// span is what a fact means for an objective; not ok for nothing.
func (f *fact) span(o *sla.Objective) (sla.Span, bool) {
	s := sla.Span{Start: f.start, End: f.end, State: sla.Unknown}
	switch f.state {
	case "down":
		s.State = sla.Bad
	case "loss", "requests":
		failed := f.bad
		if o.Latency {
			failed = f.slow
		}
		s.State, s.Good, s.Total = sla.Good, f.total-failed, f.total
		if f.total == 0 {
			// No traffic: not applicable, or good, or unknown, as declared.
			if o.CountsEvents() || o.Slot.EmptyGood {
				return s, false
			}
			s.State = sla.Unknown
		}
	}
	return s, true
}
