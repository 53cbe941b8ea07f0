package wire

import (
	"fmt"
	"strings"
)

type partialDoc struct {
	Type        string         `json:"type"`
	Source      int32          `json:"source"`
	Sources     int32          `json:"sources"`
	Incarnation uint64         `json:"incarnation"`
	From        int64          `json:"from"`
	To          int64          `json:"to"`
	LogTime     int64          `json:"log_time"`
	RuleSet     string         `json:"rule_set"`
	Groups      []groupDoc     `json:"groups,omitempty"`
	Counts      []countDoc     `json:"counts,omitempty"`
	Sketches    []sketchDoc    `json:"sketches,omitempty"`
	Unplaced    []unplacedDoc  `json:"unplaced,omitempty"`
	Gaps        []gapDoc       `json:"gaps,omitempty"`
	Regions     []regionDoc    `json:"regions,omitempty"`
	Agents      []agentSeenDoc `json:"agents,omitempty"`
}

type groupDoc struct {
	Group  string            `json:"group"`
	Labels map[string]string `json:"labels"`
}

type countDoc struct {
	Group   string `json:"group"`
	Vantage string `json:"vantage,omitempty"`
	Bin     int64  `json:"bin"`
	Good    uint64 `json:"good"`
	Total   uint64 `json:"total"`
	Blind   uint64 `json:"blind,omitempty"`
	Newest  int64  `json:"newest"`
}

type sketchDoc struct {
	Group string   `json:"group"`
	Slot  int64    `json:"slot"`
	Hist  *histDoc `json:"histogram"`
}

type unplacedDoc struct {
	Group string `json:"group"`
	From  int64  `json:"from"`
	To    int64  `json:"to"`
	Good  uint64 `json:"good"`
	Total uint64 `json:"total"`
}

type gapDoc struct {
	Agent    string `json:"agent,omitempty"`
	Boot     string `json:"boot,omitempty"`
	FirstSeq uint64 `json:"first_seq"`
	LastSeq  uint64 `json:"last_seq"`
	From     int64  `json:"from"`
	To       int64  `json:"to"`
	Reason   string `json:"reason"`
}

type regionDoc struct {
	Region string `json:"region"`
	Frames uint32 `json:"frames"`
	Newest int64  `json:"newest"`
}

type agentSeenDoc struct {
	Agent   string            `json:"agent"`
	Boot    string            `json:"boot"`
	Host    map[string]string `json:"host"`
	Frames  uint64            `json:"frames"`
	Samples uint64            `json:"samples"`
	Repeats uint64            `json:"repeats"`
	LastSeq uint64            `json:"last_seq"`
	Newest  int64             `json:"newest"`
	Skew    int64             `json:"skew_ms"`
}

// String returns the group's identity as it stands in the API: the stream and
// the labels' hash.
func (k GroupKey) String() string { return fmt.Sprintf("%s-%016x", k.Stream, k.Labels) }

func describePartial(value []byte) (string, any, error) {
	var p Partial
	if err := DecodePartial(value, &p); err != nil {
		return "", nil, err
	}
	doc := partialDoc{Type: TypePartial, Source: p.Source, Sources: p.Sources, Incarnation: p.Incarnation, From: p.From, To: p.To, LogTime: p.LogTime, RuleSet: p.RuleSet}
	var b strings.Builder
	fmt.Fprintf(&b, "partial source=%d/%d incarnation=%d (%d,%d] log_time=%s rules=%q bytes=%d", p.Source, p.Sources, p.Incarnation, p.From, p.To, formatTime(p.LogTime), p.RuleSet, len(value))
	for _, g := range p.Groups {
		doc.Groups = append(doc.Groups, groupDoc{g.Key.String(), g.Labels.Map()})
		fmt.Fprintf(&b, "\n  group %s %s", g.Key, g.Labels)
	}
	for _, c := range p.Counts {
		doc.Counts = append(doc.Counts, countDoc{c.Group.String(), c.Vantage, c.Bin, c.Good, c.Total, c.Blind, c.Newest})
		fmt.Fprintf(&b, "\n  count %s vantage=%q bin=%s good=%d/%d blind=%d newest=%s", c.Group, c.Vantage, formatTime(c.Bin), c.Good, c.Total, c.Blind, formatTime(c.Newest))
	}
	for i := range p.Sketches {
		s := &p.Sketches[i]
		h := describeHist(&s.Hist)
		doc.Sketches = append(doc.Sketches, sketchDoc{s.Group.String(), s.Slot, h})
		fmt.Fprintf(&b, "\n  sketch %s slot=%s %s", s.Group, formatTime(s.Slot), h)
	}
	for _, u := range p.Unplaced {
		doc.Unplaced = append(doc.Unplaced, unplacedDoc{u.Group.String(), u.From, u.To, u.Good, u.Total})
		fmt.Fprintf(&b, "\n  unplaced %s %s to %s good=%d/%d", u.Group, formatTime(u.From), formatTime(u.To), u.Good, u.Total)
	}
	for _, g := range p.Gaps {
		doc.Gaps = append(doc.Gaps, gapDoc{g.Agent, fmt.Sprintf("%016x", g.Boot), g.FirstSeq, g.LastSeq, g.From, g.To, g.Reason})
		fmt.Fprintf(&b, "\n  gap agent=%q boot=%016x %d to %d, %s to %s, reason=%s", g.Agent, g.Boot, g.FirstSeq, g.LastSeq, formatTime(g.From), formatTime(g.To), g.Reason)
	}
	for _, s := range p.Regions {
		doc.Regions = append(doc.Regions, regionDoc(s))
		fmt.Fprintf(&b, "\n  region %q frames=%d newest=%s", s.Region, s.Frames, formatTime(s.Newest))
	}
	for _, a := range p.Agents {
		doc.Agents = append(doc.Agents, agentSeenDoc{a.Agent, fmt.Sprintf("%016x", a.Boot), a.Host.Map(), a.Frames, a.Samples, a.Repeats, a.LastSeq, a.Newest, a.Skew})
		fmt.Fprintf(&b, "\n  agent %q boot=%016x host=%s frames=%d samples=%d repeats=%d last_seq=%d newest=%s skew=%dms", a.Agent, a.Boot, a.Host, a.Frames, a.Samples, a.Repeats, a.LastSeq, formatTime(a.Newest), a.Skew)
	}
	return b.String(), doc, nil
}
