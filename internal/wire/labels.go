package wire

import (
	"nines/internal/telemetry"
)

// wellKnown are label names that are written as one byte. New ones may only be
// added at the end.
var wellKnown = [...]string{"host", "zone", "region", "agent", "target", "probe", "cpu", "device", "interface", "path", "name", "fstype", "mode", "reason", "phase", "customer", "gpu", "uuid", "index", "instance", "job"}

// appendLabels writes the labels: their number, then for each its name (0 and a
// string, or 1 + its place in wellKnown) and its value.
func appendLabels(dst []byte, labels telemetry.Labels) []byte {
	dst = appendUvarint(dst, uint64(len(labels)))
	for i := range labels {
		dst = appendLabelName(dst, labels[i].Name)
		dst = appendString(dst, labels[i].Value)
	}
	return dst
}

func appendLabelName(dst []byte, name string) []byte {
	for i, w := range wellKnown {
		if w == name {
			return append(dst, byte(i+1))
		}
	}
	dst = append(dst, 0)
	return appendString(dst, name)
}

// labels reads what appendLabels wrote. It accepts canonical labels only:
// identities of groups and schemas are hashes of them.
func (r *reader) labels(element string) telemetry.Labels {
	n := r.count(element, 3)
	if n == 0 {
		return nil
	}
	labels := make(telemetry.Labels, 0, n)
	for range n {
		at := r.p
		name := r.labelName(element)
		value := r.string(element)
		if r.err != nil {
			return nil
		}
		if name == "" || value == "" || len(labels) > 0 && labels[len(labels)-1].Name >= name {
			r.fail(at, element, ErrCorrupt)
			return nil
		}
		labels = append(labels, telemetry.Label{Name: name, Value: value})
	}
	return labels
}

func (r *reader) labelName(element string) string {
	at := r.p
	code := int(r.byte(element))
	switch {
	case code == 0:
		return r.string(element)
	case code <= len(wellKnown):
		return wellKnown[code-1]
	}
	r.fail(at, element, ErrVersion)
	return ""
}
