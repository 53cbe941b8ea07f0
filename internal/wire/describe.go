package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"nines/internal/alert"
	"nines/internal/hist"
	"nines/internal/telemetry"
)

// Describe renders a record of any nines topic for people (text, without a
// final newline) and for programs (a value that encoding/json marshals; numbers
// that JSON lacks are strings). Schemas remembers definitions from one frame to
// the next. Foreign records come as text or as a hex dump and are no error.
func Describe(topic string, key, value []byte, headers []Header, schemas Schemas) (text string, doc any, err error) {
	if typ := TypeOf(value, headers); typ == TypeReinjection {
		return describeReinjection(headers)
	} else if len(value) == 0 && typ != TypeDeadLetter {
		return fmt.Sprintf("deleted %q", key), map[string]any{"type": "deleted", "key": string(key)}, nil
	}
	switch typeIn(topic, value, headers) {
	case TypeFrame:
		return describeFrame(value, schemas)
	case TypeTick:
		return describeTick(value)
	case TypePartial:
		return describePartial(value)
	case TypeCheckpoint:
		return describeCheckpoint(value)
	case TypeRuleSet:
		return describeRuleSet(key, value)
	case TypeAlert:
		return describeAlert(value)
	case TypeRosterEntry:
		return describeRosterEntry(key, value)
	case TypeDeadLetter:
		return describeDeadLetter(value, headers)
	}
	return describeForeign(value)
}

// typeIn is TypeOf, with the topic as the last resort for JSON records.
func typeIn(topic string, value []byte, headers []Header) string {
	t := TypeOf(value, headers)
	switch {
	case t == "" && topic == TopicAlerts:
		return TypeAlert
	case t == "" && topic == TopicRoster:
		return TypeRosterEntry
	case t == "" && topic == TopicRules:
		return TypeRuleSet
	}
	return t
}

// number is a float64 that marshals even where JSON has no number for it.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return strconv.AppendQuote(nil, formatFloat(f)), nil
	}
	return json.Marshal(float64(n))
}

// formatFloat writes the shortest digits that mean v, whole numbers in full.
func formatFloat(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < maxInteger {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func formatTime(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}

type frameDoc struct {
	Type     string            `json:"type"`
	Agent    string            `json:"agent"`
	Boot     string            `json:"boot"`
	Seq      uint64            `json:"seq"`
	SendTime int64             `json:"send_time"`
	Host     map[string]string `json:"host"`
	Blocks   []blockDoc        `json:"blocks"`
}

type blockDoc struct {
	Schema  string      `json:"schema"`
	Known   bool        `json:"known"`
	Columns int         `json:"columns"`
	Times   []int64     `json:"times"`
	Samples []sampleDoc `json:"samples"`
}

type sampleDoc struct {
	Time   int64             `json:"time"`
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	Kind   string            `json:"kind"`
	Value  *number           `json:"value,omitempty"`
	Hist   *histDoc          `json:"histogram,omitempty"`
}

type histDoc struct {
	Count uint64 `json:"count"`
	Sum   number `json:"sum"`
	Zero  uint64 `json:"zero,omitempty"`
	Inf   uint64 `json:"inf,omitempty"`
	P50   number `json:"p50"`
	P95   number `json:"p95"`
	P99   number `json:"p99"`
}

func describeHist(h *hist.Histogram) *histDoc {
	return &histDoc{Count: h.Count, Sum: number(h.Sum), Zero: h.Zero, Inf: h.Inf,
		P50: number(h.Quantile(0.5)), P95: number(h.Quantile(0.95)), P99: number(h.Quantile(0.99))}
}

func (d *histDoc) String() string {
	return fmt.Sprintf("count=%d sum=%v p50=%.4g p95=%.4g p99=%.4g inf=%d", d.Count, d.Sum, float64(d.P50), float64(d.P95), float64(d.P99), d.Inf)
}

func describeFrame(value []byte, schemas Schemas) (string, any, error) {
	var f telemetry.Frame
	var d Decoder
	if err := d.DecodeFrame(value, &f, schemas); err != nil {
		return "", nil, err
	}
	doc := frameDoc{Type: TypeFrame, Agent: f.Agent, Boot: fmt.Sprintf("%016x", f.Boot), Seq: f.Seq, SendTime: f.SendTime, Host: f.Host.Map()}
	var lines strings.Builder
	samples := 0
	for i := range f.Blocks {
		b := &f.Blocks[i]
		bd := describeBlock(b)
		doc.Blocks = append(doc.Blocks, bd)
		samples += len(bd.Samples)
		if b.Schema == nil {
			fmt.Fprintf(&lines, "\n  schema %016x is not known yet: %d columns × %d rounds", b.Fingerprint, b.Columns, len(b.Times))
		}
		for _, s := range bd.Samples {
			lines.WriteString("\n  " + s.String())
		}
	}
	head := fmt.Sprintf("frame agent=%q boot=%016x seq=%d sent=%s host=%s samples=%d bytes=%d",
		f.Agent, f.Boot, f.Seq, formatTime(f.SendTime), f.Host, samples, len(value))
	return head + lines.String(), doc, nil
}

// describeBlock lists a block's samples by series, then by time.
func describeBlock(b *telemetry.Block) blockDoc {
	doc := blockDoc{Schema: fmt.Sprintf("%016x", b.Fingerprint), Known: b.Schema != nil, Columns: b.Columns, Times: append([]int64{}, b.Times...)}
	if b.Schema == nil {
		return doc
	}
	for c := range b.Schema.Series {
		series := &b.Schema.Series[c]
		for r, t := range b.Times {
			i := c*len(b.Times) + r
			s := sampleDoc{Time: t, Name: series.Name, Labels: series.Labels.Map(), Kind: series.Kind.String()}
			switch {
			case series.Kind == telemetry.Histogram:
				if b.Hists[i] == nil {
					continue
				}
				s.Hist = describeHist(b.Hists[i])
			case b.IsAbsent(i):
				continue
			default:
				v := number(b.Values[i])
				s.Value = &v
			}
			doc.Samples = append(doc.Samples, s)
		}
	}
	return doc
}

func (s *sampleDoc) String() string {
	head := formatTime(s.Time) + " " + s.Name
	if len(s.Labels) > 0 {
		head += telemetry.NewLabels(s.Labels).String()
	}
	if s.Hist != nil {
		return head + " " + s.Hist.String()
	}
	return head + " " + formatFloat(float64(*s.Value))
}

type tickDoc struct {
	Type        string `json:"type"`
	Clock       int64  `json:"clock"`
	Incarnation uint64 `json:"incarnation"`
	RuleSet     string `json:"rule_set"`
	Owner       string `json:"owner"`
}

func describeTick(value []byte) (string, any, error) {
	var t Tick
	if err := DecodeTick(value, &t); err != nil {
		return "", nil, err
	}
	text := fmt.Sprintf("tick clock=%s incarnation=%d rules=%q owner=%q", formatTime(t.Clock), t.Incarnation, t.RuleSet, t.Owner)
	return text, tickDoc{TypeTick, t.Clock, t.Incarnation, t.RuleSet, t.Owner}, nil
}

type checkpointDoc struct {
	Type   string `json:"type"`
	Source int32  `json:"source"`
	Set    uint64 `json:"set"`
	Part   uint32 `json:"part"`
	Parts  uint32 `json:"parts"`
	Hash   string `json:"hash"`
	Bytes  int    `json:"bytes"`
}

func describeCheckpoint(value []byte) (string, any, error) {
	var c Checkpoint
	if err := DecodeCheckpoint(value, &c); err != nil {
		return "", nil, err
	}
	text := fmt.Sprintf("checkpoint source=%d set=%d part=%d/%d bytes=%d", c.Source, c.Set, c.Part+1, c.Parts, len(c.Payload))
	return text, checkpointDoc{TypeCheckpoint, c.Source, c.Set, c.Part, c.Parts, fmt.Sprintf("%016x", c.Hash), len(c.Payload)}, nil
}

type ruleSetDoc struct {
	Type    string          `json:"type"`
	Key     string          `json:"key"`
	RuleSet json.RawMessage `json:"rule_set"`
}

// describeRuleSet prints the whole set: it is what a dispute reads.
func describeRuleSet(key, value []byte) (string, any, error) {
	if !json.Valid(value) {
		text, _, err := describeForeign(value)
		return fmt.Sprintf("rule set %q: %s", key, text), ruleSetDoc{TypeRuleSet, string(key), quote(value)}, err
	}
	var indented strings.Builder
	e := json.NewEncoder(&indented)
	e.SetEscapeHTML(false)
	e.SetIndent("  ", "  ")
	if err := e.Encode(json.RawMessage(value)); err != nil {
		return "", nil, fmt.Errorf("decode rule set: %w", err)
	}
	text := fmt.Sprintf("rule set %q\n  %s", key, strings.TrimSpace(indented.String()))
	return text, ruleSetDoc{TypeRuleSet, string(key), json.RawMessage(value)}, nil
}

type rosterDoc struct {
	Type  string          `json:"type"`
	Slot  string          `json:"slot"`
	Entry json.RawMessage `json:"entry"`
}

// describeRosterEntry prints what an agent wrote, which is of agent/mesh.
func describeRosterEntry(key, value []byte) (string, any, error) {
	var line bytes.Buffer
	if err := json.Compact(&line, value); err != nil {
		text, _, err := describeForeign(value)
		return fmt.Sprintf("roster %q: %s", key, text), rosterDoc{TypeRosterEntry, string(key), quote(value)}, err
	}
	return fmt.Sprintf("roster %q %s", key, line.String()), rosterDoc{TypeRosterEntry, string(key), json.RawMessage(value)}, nil
}

func quote(b []byte) json.RawMessage {
	q, err := json.Marshal(string(b))
	if err != nil {
		return json.RawMessage(`""`)
	}
	return q
}

type alertDoc struct {
	Type  string      `json:"type"`
	Alert alert.Alert `json:"alert"`
}

func describeAlert(value []byte) (string, any, error) {
	var a alert.Alert
	if err := json.Unmarshal(value, &a); err != nil {
		return "", nil, fmt.Errorf("decode alert: %w", err)
	}
	if a.Status == alert.Heartbeat {
		text := fmt.Sprintf("heartbeat source=%q log_time=%s offset=%d", a.Source, formatTime(a.LogTime), a.Offset)
		return text, alertDoc{TypeAlert, a}, nil
	}
	text := fmt.Sprintf("alert %s %s since=%s", a.Status, telemetry.NewLabels(a.Labels), formatTime(a.StartsAt))
	if a.EndsAt != 0 {
		text += " until=" + formatTime(a.EndsAt)
	}
	text += fmt.Sprintf(" source=%q offset=%d", a.Source, a.Offset)
	for _, l := range telemetry.NewLabels(a.Annotations) {
		text += fmt.Sprintf("\n  %s: %s", l.Name, l.Value)
	}
	return text, alertDoc{TypeAlert, a}, nil
}

type deadLetterDoc struct {
	Type      string `json:"type"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Reason    string `json:"reason"`
	Detail    string `json:"detail"`
	Value     []byte `json:"value"`
}

func describeDeadLetter(value []byte, headers []Header) (string, any, error) {
	d, err := DecodeDeadLetter(headers)
	if err != nil {
		return "", nil, err
	}
	content, _, _ := describeForeign(value)
	text := fmt.Sprintf("dead letter %s/%d offset=%d reason=%q detail=%q bytes=%d\n%s", d.Topic, d.Partition, d.Offset, d.Reason, d.Detail, len(value), indent(content))
	return text, deadLetterDoc{TypeDeadLetter, d.Topic, d.Partition, d.Offset, d.Reason, d.Detail, value}, nil
}

type reinjectionDoc struct {
	Type      string `json:"type"`
	Letter    int64  `json:"letter"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

func describeReinjection(headers []Header) (string, any, error) {
	r, err := DecodeReinjection(headers)
	if err != nil {
		return "", nil, err
	}
	doc := reinjectionDoc{TypeReinjection, r.Letter, r.Topic, r.Partition, r.Offset}
	if r.Offset == claimed {
		return fmt.Sprintf("letter %d is about to be sent to %s/%d", r.Letter, r.Topic, r.Partition), doc, nil
	}
	return fmt.Sprintf("letter %d was sent to %s/%d offset=%d", r.Letter, r.Topic, r.Partition, r.Offset), doc, nil
}

type foreignDoc struct {
	Type string `json:"type"`
	Text string `json:"text,omitempty"`
	Data []byte `json:"data,omitempty"`
}

// maxDump is how much of a foreign binary record is dumped, in bytes.
const maxDump = 512

func describeForeign(value []byte) (string, any, error) {
	if printable(value) {
		return string(value), foreignDoc{Type: "foreign", Text: string(value)}, nil
	}
	dump := strings.TrimSuffix(hex.Dump(value[:min(len(value), maxDump)]), "\n")
	if len(value) > maxDump {
		dump += fmt.Sprintf("\n... %d more bytes", len(value)-maxDump)
	}
	return dump, foreignDoc{Type: "foreign", Data: value}, nil
}

func printable(b []byte) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return false
		}
		b = b[n:]
	}
	return true
}

func indent(s string) string { return "  " + strings.ReplaceAll(s, "\n", "\n  ") }
