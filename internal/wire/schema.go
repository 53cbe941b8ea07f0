package wire

import (
	"nines/internal/telemetry"
)

// Bounds of schemas in frames; the agent stays far below them.
const (
	// MaxColumns is the greatest number of series in a schema.
	MaxColumns = 1 << 16
	// maxSchemaText bounds the names and label texts of one schema, in bytes:
	// names share prefixes, so that few bytes could stand for many.
	maxSchemaText = 4 << 20
)

// Bits of a series' flags in a schema definition; the lowest two are its kind.
const (
	seriesKind       = 0x03
	seriesFresh      = 0x04
	seriesSameLabels = 0x08
)

// appendSchema appends a definition: the number of series, then for each its
// flags, how many bytes of the previous name its name begins with, the rest of
// the name and, unless equal to the previous ones, its labels.
func appendSchema(dst []byte, s *telemetry.Schema) []byte {
	dst = appendUvarint(dst, uint64(len(s.Series)))
	name, labels := "", telemetry.Labels(nil)
	for i := range s.Series {
		c := &s.Series[i]
		flags := byte(c.Kind) & seriesKind
		if c.Fresh {
			flags |= seriesFresh
		}
		same := equalLabels(c.Labels, labels)
		if same {
			flags |= seriesSameLabels
		}
		dst = append(dst, flags)
		n := commonPrefix(name, c.Name)
		dst = appendUvarint(dst, uint64(n))
		dst = appendString(dst, c.Name[n:])
		if !same {
			dst = appendLabels(dst, c.Labels)
		}
		name, labels = c.Name, c.Labels
	}
	return dst
}

// schema reads a definition.
func (r *reader) schema() *telemetry.Schema {
	at := r.p
	n := r.count("series", 3)
	if n > MaxColumns {
		r.fail(at, "series", ErrLimit)
		return nil
	}
	series := make([]telemetry.Series, 0, n)
	var last telemetry.Series
	text := 0
	for range n {
		at = r.p
		last = r.series(last)
		if r.err != nil {
			return nil
		}
		if text += len(last.Name) + labelText(last.Labels); text > maxSchemaText {
			r.fail(at, "series", ErrLimit)
			return nil
		}
		series = append(series, last)
	}
	if r.err != nil {
		return nil
	}
	return telemetry.NewSchema(series)
}

func (r *reader) series(last telemetry.Series) telemetry.Series {
	at := r.p
	flags := r.byte("series flags")
	s := telemetry.Series{Kind: telemetry.Kind(flags & seriesKind), Fresh: flags&seriesFresh != 0}
	shared := r.uvarint("series name")
	rest := r.bytes("series name")
	if r.err != nil {
		return s
	}
	if s.Kind == 0 || flags&^(seriesKind|seriesFresh|seriesSameLabels) != 0 || shared > uint64(len(last.Name)) || shared+uint64(len(rest)) == 0 {
		r.fail(at, "series", ErrCorrupt)
		return s
	}
	s.Name = last.Name[:shared] + string(rest)
	if flags&seriesSameLabels != 0 {
		s.Labels = last.Labels
	} else {
		s.Labels = r.labels("series labels")
	}
	return s
}

func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func equalLabels(a, b telemetry.Labels) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func labelText(labels telemetry.Labels) int {
	n := 0
	for i := range labels {
		n += len(labels[i].Name) + len(labels[i].Value) + 2
	}
	return n
}
