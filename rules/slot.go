package rules

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"nines/internal/sla"
	"nines/internal/slo"
	"nines/internal/yamlconf"
)

// slotSpec says how long a slot is and when it is bad.
type slotSpec struct {
	Length   *yamlconf.Duration `yaml:"length"`
	BadWhen  string             `yaml:"badWhen"`
	MaxRatio string             `yaml:"maxRatio"`
	MinCount *uint64            `yaml:"minCount"`
	Empty    string             `yaml:"empty"`
	MaxGap   *yamlconf.Duration `yaml:"maxGap"`
	Quorum   *quorumSpec        `yaml:"quorum"`
}

type quorumSpec struct {
	K int `yaml:"k"`
	N int `yaml:"n"`
}

// Defaults of slots, where a document does not say otherwise.
const (
	defaultSlot   = int64(60_000) // milliseconds
	defaultMaxGap = int64(5_000)
)

// slot compiles a slot's rule. given holds what the kind of objective implies;
// what the spec declares replaces it.
func (c *compiler) slot(d *yamlconf.Doc, at string, s *slotSpec, given sla.SlotRule, stream *slo.Stream) sla.SlotRule {
	r := given
	if s == nil {
		s = &slotSpec{}
	}
	if s.Length != nil {
		r.Length = s.Length.Milliseconds()
	}
	if s.BadWhen != "" {
		r.Bad = sla.BadWhen(s.BadWhen)
	}
	switch r.Bad {
	case sla.BadUnreachable, sla.BadAnyFailure:
		c.binRule(d, at, s, &r, stream)
	case sla.BadRatio, sla.BadAllFailed:
		c.countRule(d, at, s, &r, stream)
	default:
		c.fail(d, at+".badWhen", s.BadWhen, "want unreachable, any_failure, ratio or all_failed")
	}
	c.slotLength(d, at, r.Length, stream.Bin)
	return r
}

func (c *compiler) slotLength(d *yamlconf.Doc, at string, length, bin int64) {
	const quarter = int64(15 * 60_000)
	switch {
	case length < 1000 || length > 24*4*quarter:
		c.fail(d, at+".length", yamlconf.Duration(length*1e6), "want a length from 1s to 24h")
	case quarter%length != 0 && (24*4*quarter)%length != 0:
		c.fail(d, at+".length", yamlconf.Duration(length*1e6), "want a length that divides a day evenly")
	case length%bin != 0:
		c.fail(d, at+".length", yamlconf.Duration(length*1e6), "want a multiple of the bin, %s", yamlconf.Duration(bin*1e6))
	}
}

// binRule reads what matters to formulas over the bins of scheduled probes.
func (c *compiler) binRule(d *yamlconf.Doc, at string, s *slotSpec, r *sla.SlotRule, stream *slo.Stream) {
	r.MaxRatio = sla.Ratio{}
	if s.MaxRatio != "" {
		c.fail(d, at+".maxRatio", s.MaxRatio, "belongs to badWhen: ratio")
	}
	if s.MinCount != nil || s.Empty != "" {
		c.fail(d, at, nil, "minCount and empty belong to badWhen: ratio and all_failed")
	}
	if stream.Sample == nil {
		c.fail(d, at+".badWhen", string(r.Bad), "needs scheduled probes: a metric with op and value")
	}
	c.gap(d, at, s, r)
	r.K = 1
	if s.Quorum != nil {
		r.K, r.N = s.Quorum.K, s.Quorum.N
		c.quorum(d, at+".quorum", r.K, r.N)
		if stream.Vantage == "" && (r.K > 1 || r.N > 1) {
			c.fail(d, at+".quorum", nil, "needs vantage, the label that tells vantage points apart")
		}
	}
}

func (c *compiler) quorum(d *yamlconf.Doc, at string, k, n int) {
	if k < 1 || k > 1000 {
		c.fail(d, at+".k", k, "want from 1 to 1000")
	}
	if n < 0 || n > 1000 || (n > 0 && n < k) {
		c.fail(d, at+".n", n, "want 0 (those seen), or at least k")
	}
}

// gap reads max_gap, which only matters where vantage points are told apart.
func (c *compiler) gap(d *yamlconf.Doc, at string, s *slotSpec, r *sla.SlotRule) {
	r.MaxGap = defaultMaxGap
	if s.MaxGap != nil {
		r.MaxGap = s.MaxGap.Milliseconds()
		if r.MaxGap < 0 || r.MaxGap > r.Length {
			c.fail(d, at+".maxGap", s.MaxGap, "want from 0s to the slot's length")
		}
	}
}

// countRule reads what matters to formulas over exact counts.
func (c *compiler) countRule(d *yamlconf.Doc, at string, s *slotSpec, r *sla.SlotRule, stream *slo.Stream) {
	if s.Quorum != nil {
		c.fail(d, at+".quorum", nil, "belongs to badWhen: unreachable and any_failure")
	}
	if stream.Vantage != "" {
		c.gap(d, at, s, r)
	} else if s.MaxGap != nil {
		c.fail(d, at+".maxGap", s.MaxGap, "needs vantage, the label that tells vantage points apart")
	}
	switch {
	case r.Bad == sla.BadAllFailed && s.MaxRatio != "":
		c.fail(d, at+".maxRatio", s.MaxRatio, "belongs to badWhen: ratio")
	case r.Bad == sla.BadAllFailed:
		r.MaxRatio = sla.Ratio{}
	case s.MaxRatio != "":
		limit, err := parseShare(s.MaxRatio)
		if err != nil || limit.Cmp(sla.Ratio{Num: 1, Den: 1}) >= 0 {
			c.fail(d, at+".maxRatio", s.MaxRatio, "want a share below 1, such as 0.05 or 5%%")
		}
		r.MaxRatio = limit
	case r.MaxRatio.Den == 0:
		c.fail(d, at+".maxRatio", nil, "is required with badWhen: ratio")
	}
	if s.MinCount != nil {
		r.MinCount = *s.MinCount * max(stream.Unit, 1)
	}
	switch s.Empty {
	case "", "unknown":
	case "good":
		r.EmptyGood = true
	default:
		c.fail(d, at+".empty", s.Empty, "want unknown or good")
	}
}

// parseShare reads 0.05 or 5%.
func parseShare(text string) (sla.Ratio, error) {
	if p, ok := strings.CutSuffix(text, "%"); ok {
		return parsePercent(strings.TrimSpace(p))
	}
	return parseDecimal(text)
}

// reading returns what is counted and when a slot is bad, in sentences.
func reading(r sla.SlotRule, s *slo.Stream) string {
	return countWords(s) + ". " + slotWords(r, s)
}

// countWords says what an event is, and what a resource.
func countWords(s *slo.Stream) string {
	each := "; all of them are one resource"
	if len(s.GroupBy) > 0 {
		each = "; one resource for each " + strings.Join(s.GroupBy, " and ")
	}
	switch {
	case s.Op == slo.Success, s.Op == slo.Failure:
		return fmt.Sprintf("Each sample of %s is the share of %s events and counts as one event%s", selectorWords(s.Sample), rawWords[s.Op], each)
	case s.Gauge && s.Bad != nil:
		return fmt.Sprintf("Each sample of %s is a number of events, each of %s one of failed events%s", selectorWords(s.Total), selectorWords(s.Bad), each)
	case s.Gauge:
		return fmt.Sprintf("Each sample of %s is a number of events, each of %s one of good events%s", selectorWords(s.Total), selectorWords(s.Good), each)
	case s.Sample != nil:
		return fmt.Sprintf("Each sample of %s is an event, good if it is %s %v%s", selectorWords(s.Sample), opWords[s.Op], s.Threshold, each)
	case s.Bad != nil:
		return fmt.Sprintf("Each increment of %s is an event, each of %s a failed one%s", selectorWords(s.Total), selectorWords(s.Bad), each)
	}
	return fmt.Sprintf("Each increment of %s is an event, each of %s a good one%s", selectorWords(s.Total), selectorWords(s.Good), each)
}

var opWords = map[slo.Op]string{slo.LTE: "at most", slo.LT: "below", slo.GTE: "at least", slo.GT: "above"}

var rawWords = map[slo.Op]string{slo.Success: "good", slo.Failure: "failed"}

func selectorWords(s *slo.Selector) string {
	if len(s.Matchers) == 0 {
		return s.Metric
	}
	parts := make([]string, len(s.Matchers))
	for i, m := range s.Matchers {
		parts[i] = fmt.Sprintf("%s%s%q", m.Label, m.Match, m.Value)
	}
	return s.Metric + "{" + strings.Join(parts, ",") + "}"
}

func slotWords(r sla.SlotRule, s *slo.Stream) string {
	slot := "A slot of " + yamlconf.Duration(r.Length*1e6).String()
	gap := ""
	if r.MaxGap > 0 {
		gap = fmt.Sprintf("; a gap of up to %s between equal results is bridged", yamlconf.Duration(r.MaxGap*1e6))
	}
	few := ""
	if n := max(r.MinCount/max(s.Unit, 1), 1); r.EmptyGood {
		few = fmt.Sprintf("; with fewer than %d events it is good", n)
	} else if r.Bad == sla.BadRatio || r.Bad == sla.BadAllFailed {
		few = fmt.Sprintf("; with fewer than %d events it is unknown", n)
	}
	switch r.Bad {
	case sla.BadUnreachable:
		return slot + " is bad if the target was unreachable in every " + binWords(s) + " of it" + quorumWords(r, s) + gap
	case sla.BadAnyFailure:
		return slot + " is bad if the target was unreachable in any " + binWords(s) + " of it" + quorumWords(r, s) + gap
	case sla.BadAllFailed:
		return slot + " is bad if every event in it failed" + few + gap
	}
	return slot + " is bad if more than " + r.MaxRatio.String() + " of its events failed" + few + gap
}

func binWords(s *slo.Stream) string {
	return "bin of " + (time.Duration(s.Bin) * time.Millisecond).String()
}

func quorumWords(r sla.SlotRule, s *slo.Stream) string {
	if s.Vantage == "" {
		return ""
	}
	k, of := max(r.K, 1), "those seen"
	if r.N > 0 {
		of = strconv.Itoa(r.N)
	}
	return fmt.Sprintf(", as found by at least %d of %s vantage points (label %s)", k, of, s.Vantage)
}
