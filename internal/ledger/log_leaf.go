package ledger

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"nines/internal/sla"
	"nines/internal/telemetry"
)

// The log is text, so that an auditor reads and recomputes it without us.
// docs/ledger.md has every byte of the two forms here.

// First lines of the two kinds of text.
const (
	leafHead = "nines slots 1\n"
	hourHead = "nines hour 1\n"
)

// saltSize keeps others from guessing what a neighbour's leaf says: its hash is
// in the proofs that they get. In bytes.
const saltSize = 16

// leafSalt derives the salt of a group's leaf in the log's leaf n.
func leafSalt(secret []byte, n, group int64) []byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(n))
	binary.BigEndian.PutUint64(b[8:], uint64(group))
	h := hmac.New(sha256.New, secret)
	h.Write(b[:])
	return h.Sum(nil)[:saltSize]
}

// appendLeafHead begins a group's leaf. Labels that were not announced when the
// hour was logged are told by their hash.
func appendLeafHead(b []byte, g *Group, named bool, hour int64, salt []byte) []byte {
	b = append(b, leafHead...)
	b = append(append(b, "stream "...), g.Key.Stream...)
	b = append(b, "\nlabels "...)
	if named {
		b = appendLabelsJSON(b, g.Labels)
	} else {
		b = fmt.Appendf(b, "#%016x", g.Key.Labels)
	}
	b = strconv.AppendInt(append(b, "\nhour "...), hour, 10)
	b = hex.AppendEncode(append(b, "\nsalt "...), salt)
	return append(b, '\n')
}

// slotRun is a line of a leaf: slots at one distance that say the same. A slot
// with evidence of single bins is alone.
type slotRun struct {
	first   *Versioned
	n, step int64
}

// takes tells whether the slot joins the run, and lets it.
func (r *slotRun) takes(v *Versioned) bool {
	f := r.first
	if f == nil || len(f.Vantages) > 0 || len(v.Vantages) > 0 || v.Version != f.Version || v.State != f.State || v.Good != f.Good ||
		v.Total != f.Total || v.Blind != f.Blind || v.Reason != f.Reason || v.WrittenAt-v.Start != f.WrittenAt-f.Start ||
		v.Owed != f.Owed || !slices.Equal(v.Complete, f.Complete) {
		return false
	}
	if r.n == 1 {
		r.step = v.Start - f.Start
	}
	if r.step <= 0 || v.Start != f.Start+r.n*r.step {
		if r.n == 1 {
			r.step = 0
		}
		return false
	}
	r.n++
	return true
}

// append adds the run's line, and the evidence of its one slot.
func (r *slotRun) append(b []byte) []byte {
	v := r.first
	if v == nil {
		return b
	}
	b = strconv.AppendInt(b, v.Start, 10)
	b = strconv.AppendInt(append(b, " x"...), r.n, 10)
	b = strconv.AppendInt(append(b, " +"...), r.step, 10)
	b = strconv.AppendUint(append(b, " v"...), uint64(v.Version), 10)
	b = append(append(b, ' '), stateWord(v.State)...)
	b = strconv.AppendUint(append(b, ' '), v.Good, 10)
	b = strconv.AppendUint(append(b, '/'), v.Total, 10)
	b = strconv.AppendUint(append(b, " blind "...), v.Blind, 10)
	b = strconv.AppendInt(append(b, " written "...), v.WrittenAt-v.Start, 10)
	b = appendJSONString(append(b, ' '), v.Reason)
	if v.Owed > 0 {
		b = strconv.AppendUint(append(b, " owed "...), v.Owed, 10)
	}
	for i, name := range v.Complete {
		if i == 0 {
			b = append(b, " complete"...)
		}
		b = appendJSONString(append(b, ' '), name)
	}
	b = append(b, '\n')
	for i := range v.Vantages {
		e := &v.Vantages[i]
		b = appendJSONString(append(b, "  "...), e.Vantage)
		b = appendWords(append(b, " ok "...), e.OK)
		b = appendWords(append(b, " fail "...), e.Fail)
		b = appendWords(append(b, " missing "...), e.Missing)
		b = append(b, '\n')
	}
	return b
}

// stateWord is the state as the log spells it, for good.
func stateWord(s sla.State) string {
	switch s {
	case sla.Good:
		return "good"
	case sla.Bad:
		return "bad"
	case sla.Unknown:
		return "unknown"
	}
	return "open"
}

// appendWords writes a bitmap as words of 16 hex digits, the first bins first.
func appendWords(b []byte, words []uint64) []byte {
	if len(words) == 0 {
		return append(b, '-')
	}
	for i, w := range words {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%016x", w)
	}
	return b
}

func appendLabelsJSON(b []byte, ls telemetry.Labels) []byte {
	b = append(b, '{')
	for i, l := range ls {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendJSONString(b, l.Name), ':')
		b = appendJSONString(b, l.Value)
	}
	return append(b, '}')
}

// appendJSONString writes a JSON string by the rules of RFC 8785 section
// 3.2.2.2, so that every writer of JSON agrees on the bytes.
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= ' ':
			b = append(b, c)
		case strings.IndexByte("\b\t\n\f\r", c) >= 0:
			b = append(b, '\\', "btnfr"[strings.IndexByte("\b\t\n\f\r", c)])
		default:
			b = fmt.Appendf(b, `\u%04x`, c)
		}
	}
	return append(b, '"')
}

// loggedHour is one leaf of the log: which hour, when it was logged (log time),
// how many groups' leaves, and the root of their tree.
type loggedHour struct {
	leaf, hour, loggedAt, groups int64
	root                         tlog.Hash
}

// text is the record whose hash is the log's leaf.
func (h *loggedHour) text() []byte {
	return fmt.Appendf(nil, hourHead+"hour %d\nlogged %d\ngroups %d\nroot %s\n", h.hour, h.loggedAt, h.groups, h.root)
}

// hashTree is a tree of records in memory.
type hashTree struct {
	size   int64
	stored []tlog.Hash
}

// add appends a record by its hash.
func (t *hashTree) add(h tlog.Hash) error {
	more, err := tlog.StoredHashesForRecordHash(t.size, h, t)
	t.stored = append(t.stored, more...)
	t.size++
	return err
}

// ReadHashes implements tlog.HashReader.
func (t *hashTree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		if at < 0 || at >= int64(len(t.stored)) {
			return nil, fmt.Errorf("the tree has no hash %d", at)
		}
		out[i] = t.stored[at]
	}
	return out, nil
}

// root is that of the first n records.
func (t *hashTree) root(n int64) (tlog.Hash, error) { return tlog.TreeHash(n, t) }

// rootOf is the root over records' hashes.
func rootOf(hashes []tlog.Hash) (tlog.Hash, error) {
	t := &hashTree{stored: make([]tlog.Hash, 0, 2*len(hashes))}
	for _, h := range hashes {
		if err := t.add(h); err != nil {
			return tlog.Hash{}, err
		}
	}
	return t.root(t.size)
}
