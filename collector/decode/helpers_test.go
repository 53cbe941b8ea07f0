package decode

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// flat reads a record and writes down each value of it in a line: the series, its
// kind, milliseconds of time and, where there is one, of start, and the value.
// Errors stand among them.
func flat(r *Reader, f Format, value []byte) (out []string) {
	r.Open(f, value)
	for {
		p, err := r.Next()
		if err != nil {
			out = append(out, "error: "+err.Error())
			continue
		}
		if p == nil {
			return out
		}
		set, err := r.Describe()
		if err != nil {
			out = append(out, "error: "+err.Error())
			continue
		}
		at := 0
		for i := range p.Values {
			v := &p.Values[i]
			if !v.Sample() && f == Influx {
				continue
			}
			out = append(out, line(&set.Columns[at], p, v))
			at++
		}
	}
}

func line(c *Column, p *Point, v *Value) string {
	kinds := map[Kind]string{Untyped: "untyped", Gauge: "gauge", Counter: "counter", Delta: "delta", Native: "native", NativeDelta: "native delta"}
	time := "untimed"
	if p.Timed {
		time = fmt.Sprint(p.Time / 1e6)
	}
	if p.Start != 0 {
		time += fmt.Sprintf(" since %d", p.Start/1e6)
	}
	value := fmt.Sprint(v.Num)
	switch v.Form {
	case Int:
		value = fmt.Sprint(int64(v.Bits))
	case Uint:
		value = fmt.Sprint(v.Bits)
	case Histogram:
		h := v.Hist
		value = fmt.Sprintf("schema %d count %v sum %v zero %v≤%v +%v -%v", h.Schema, h.Count, h.Sum, h.Zero, h.ZeroThreshold, h.Positive, h.Negative)
	}
	labels := c.Labels.String()
	if labels == "{}" {
		labels = ""
	}
	return fmt.Sprintf("%s%s %s %s: %s", c.Name, labels, kinds[c.Kind], time, value)
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
