package scenario

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/scenario/script"
	"nines/internal/yamlconf"
)

// beside returns the file that a scenario names, relative to its folder.
func beside(f script.Path) string {
	if filepath.IsAbs(f.Name) {
		return f.Name
	}
	return filepath.Join(filepath.Dir(f.File), f.Name)
}

// given reads what the scenario says runs before anything happens.
func given(s *script.Scenario) (out []inventory.Entry, err error) {
	for _, f := range s.Inventory {
		data, err := os.ReadFile(beside(f))
		if err != nil {
			return nil, at(f.Pos, "is no file that can be read: "+beside(f))
		}
		entries, err := inventory.Read(beside(f), data)
		if err != nil {
			return nil, err
		}
		out = append(out, entries...)
	}
	for i := range s.Told {
		entries, err := told(&s.Told[i])
		if err != nil {
			return nil, err
		}
		out = append(out, entries...)
	}
	return out, nil
}

// told reads what a line says of a resource, as a row of an inventory file is
// read; mistakes are reported at the line's words.
func told(t *script.Told) ([]inventory.Entry, error) {
	header, row := []string{"resource", "from"}, []string{t.Resource, time.UnixMilli(t.From).UTC().Format(time.RFC3339Nano)}
	for _, v := range t.Values {
		header, row = append(header, v.Name), append(row, v.Value)
	}
	var b bytes.Buffer
	if err := csv.NewWriter(&b).WriteAll([][]string{header, row}); err != nil {
		return nil, fmt.Errorf("write facts: %w", err)
	}
	place := func(e *yamlconf.Error) {
		p := t.Pos
		for _, v := range t.Values { // a column that there is none of is shown, not named
			if e.Path == v.Name || e.Path == "" && e.Got == strconv.Quote(v.Name) {
				p = v.Pos
			}
		}
		e.File, e.Line, e.Col = p.File, p.Line, p.Col
	}
	entries, err := inventory.Read("resource.csv", b.Bytes())
	var errs yamlconf.Errors
	if errors.As(err, &errs) {
		for i := range errs {
			place(&errs[i])
		}
		return nil, errs
	}
	for i := range entries {
		place(&entries[i].At)
	}
	return entries, err
}

// record writes facts into the ledger's inventory, for the collector to take up.
func (w *world) record(ctx context.Context, entries []inventory.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	note := ledger.Note{Author: "scenario", Reason: w.s.Name, At: max(w.now, w.s.Start)}
	if _, err := w.led.RecordFacts(ctx, access.Local(), note, entries); err != nil {
		return err
	}
	for i := range entries {
		w.changes = append(w.changes, entries[i].From)
	}
	w.sortChanges()
	return w.pipe.Expect()
}
