package aggregate

import (
	"encoding/binary"
	"errors"

	"nines/internal/telemetry"
)

// A checkpoint has tens of thousands of boots: with these written by hand, one of
// 10,000 takes 14 ms instead of the 27 ms that it takes with gob alone.

// bootSize is about what a boot takes, in bytes.
const bootSize = 128

// appendBoots appends the boots: per boot agent, boot, last sequence, newest,
// used, 1 if it is the agent's newest, labels, schemas with 1 if their histograms
// were judged; each list after its length.
func appendBoots(dst []byte, boots []savedBoot) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(boots)))
	for i := range boots {
		b := &boots[i]
		dst = appendText(dst, b.Agent)
		dst = binary.LittleEndian.AppendUint64(dst, b.Boot)
		dst = binary.AppendUvarint(dst, b.LastSeq)
		dst = binary.AppendVarint(dst, b.Newest)
		dst = binary.AppendVarint(dst, b.Used)
		dst = appendTruth(dst, b.Current)
		dst = binary.AppendUvarint(dst, uint64(len(b.Host)))
		for _, l := range b.Host {
			dst = appendText(appendText(dst, l.Name), l.Value)
		}
		dst = binary.AppendUvarint(dst, uint64(len(b.Schemas)))
		for k, fp := range b.Schemas {
			dst = binary.LittleEndian.AppendUint64(dst, fp)
			dst = appendTruth(dst, k < len(b.Judged) && b.Judged[k])
		}
	}
	return dst
}

func appendTruth(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// readBoots reads what appendBoots wrote.
func readBoots(b []byte) ([]savedBoot, error) {
	r := bootReader{b: b}
	var out []savedBoot
	for range r.length() {
		sb := savedBoot{Agent: r.text(), Boot: r.fixed(), LastSeq: r.uvarint(), Newest: r.varint(), Used: r.varint(), Current: r.uvarint() == 1}
		for range r.length() {
			sb.Host = append(sb.Host, telemetry.Label{Name: r.text(), Value: r.text()})
		}
		for range r.length() {
			sb.Schemas = append(sb.Schemas, r.fixed())
			sb.Judged = append(sb.Judged, r.uvarint() == 1)
		}
		if r.bad {
			return nil, errors.New("the list of boots is damaged")
		}
		out = append(out, sb)
	}
	if r.bad || len(r.b) > 0 {
		return nil, errors.New("the list of boots is damaged")
	}
	return out, nil
}

// bootReader takes bytes apart; after the end it returns zeros and is bad.
type bootReader struct {
	b   []byte
	bad bool
}

func (r *bootReader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *bootReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.take(max(n, 0)); n <= 0 {
		r.bad, r.b = true, nil
	}
	return v
}

func (r *bootReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if r.take(max(n, 0)); n <= 0 {
		r.bad, r.b = true, nil
	}
	return v
}

func (r *bootReader) fixed() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *bootReader) fixed32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// length reads the length of a list, whose elements take a byte each at least.
func (r *bootReader) length() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *bootReader) text() string { return string(r.take(r.length())) }
