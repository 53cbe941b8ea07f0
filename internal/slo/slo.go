// Package slo holds objectives as the pipeline uses them: streams (what is
// counted, for whom, in which slots), the objectives that judge a stream over a
// window, and the burn-rate mathematics. Package rules compiles OpenSLO and
// contract files into these types; aggregate and evaluate run them.
package slo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"nines/internal/sla"
)

// Op compares a sample with a threshold: the sample is good if it holds.
type Op string

// The comparisons of OpenSLO v1.
const (
	LTE Op = "lte"
	LT  Op = "lt"
	GTE Op = "gte"
	GT  Op = "gt"
)

// Match is the kind of a label matcher.
type Match string

// The matchers, as in PromQL; regular expressions are anchored.
const (
	Equal     Match = "="
	NotEqual  Match = "!="
	Regexp    Match = "=~"
	NotRegexp Match = "!~"
)

// Matcher selects series by one label (series and host labels alike).
type Matcher struct {
	Label string `json:"label"`
	Match Match  `json:"match"`
	Value string `json:"value"`
}

// Selector selects series by name and labels.
type Selector struct {
	Metric   string    `json:"metric"`
	Matchers []Matcher `json:"matchers,omitempty"`
}

// Stream is what is counted: an SLI, its grouping and its slots. Its ID is the
// hash of its definition, so that a changed definition is a new identity and
// two objectives over the same SLI share one count.
//
// Exactly one of Sample and Total is set. With Sample, every sample of the
// selected gauge series is one event, good if "value Op Threshold" holds (a
// time-out is a sample of +Inf). With Total, events are increments of the
// selected counters; of Good and Bad exactly one is set.
type Stream struct {
	Sample    *Selector `json:"sample,omitempty"`
	Op        Op        `json:"op,omitempty"`
	Threshold float64   `json:"threshold,omitempty"`
	Good      *Selector `json:"good,omitempty"`
	Bad       *Selector `json:"bad,omitempty"`
	Total     *Selector `json:"total,omitempty"`
	// GroupBy lists the labels (series or host) whose values make a group.
	GroupBy []string `json:"group_by"`
	// Vantage is the label that names the vantage point ("host" for probes).
	// Empty: vantage points are not told apart, and Quorum is not used.
	Vantage string `json:"vantage,omitempty"`
	// Histogram asks for native histograms of the samples, for percentiles.
	Histogram bool `json:"histogram,omitempty"`
	// Bin is the shortest unit of evaluation in milliseconds (1000).
	Bin int64 `json:"bin_ms"`
	// Rule says how long slots are and when one is bad.
	Rule sla.SlotRule `json:"slot"`
}

// ID returns the stream's identity: 16 hex digits of the SHA-256 of its JSON.
func (s *Stream) ID() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic("slo: stream does not marshal: " + err.Error()) // no value of the type can fail
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:8])
}

// Objective is an SLO: a target for a stream over a window.
type Objective struct {
	// Name is metadata.name of the OpenSLO document; with several objectives in
	// one document, name/n.
	Name        string `json:"name"`
	DisplayName string `json:"display_name,omitempty"`
	Service     string `json:"service"`
	Description string `json:"description,omitempty"`
	// StreamID names the stream it judges.
	StreamID string `json:"stream"`
	// Target is the promised ratio of good events (Occurrences) or of good
	// slots (Timeslices), exact.
	Target sla.Ratio `json:"target"`
	// Budgeting is Occurrences or Timeslices.
	Budgeting string `json:"budgeting"`
	// Window is the length of the rolling window, or of a calendar period, in
	// milliseconds; calendar months count as 30 days in burn-rate factors.
	Window int64 `json:"window_ms"`
	// Calendar is set for calendar-aligned windows.
	Calendar *Calendar `json:"calendar,omitempty"`
	// Burn are the burn-rate rows that alert.
	Burn []BurnRow `json:"burn,omitempty"`
	// Down is the confirmed-down rule; nil where none applies.
	Down *Down `json:"down,omitempty"`
	// Source is file:line of the definition, for messages.
	Source string `json:"source,omitempty"`
}

// Calendar is a calendar-aligned window.
type Calendar struct {
	TimeZone string `json:"time_zone"`
	Unit     string `json:"unit"` // day, week, month, quarter, year
	// Start is the local time from which periods are counted, written as
	// 2006-01-02 15:04:05; empty for 2001-01-01 00:00:00, a Monday.
	Start string `json:"start,omitempty"`
}

// BurnRow is one row of the multi-window, multi-burn-rate table: it fires when
// burn(Long) > Factor and burn(Short) > Factor, where burn is the error ratio
// divided by 1 - target.
type BurnRow struct {
	Severity string  `json:"severity"`
	Long     int64   `json:"long_ms"`
	Short    int64   `json:"short_ms"`
	Factor   float64 `json:"factor"`
}

// Down is the confirmed-down rule: Failures failed bins in a row, each seen
// from at least K of the group's vantage points. N is the number of vantage
// points expected; 0 takes those seen in the last five minutes.
type Down struct {
	Failures int `json:"failures"`
	K        int `json:"k"`
	N        int `json:"n,omitempty"`
}

// RuleSet is everything the pipeline judges by, content-addressed.
type RuleSet struct {
	Streams    map[string]*Stream `json:"streams"`
	Objectives []*Objective       `json:"objectives"`
	// Contracts are the SLA files, verbatim, by contract name: the statement
	// and a later dispute read the same bytes.
	Contracts map[string]json.RawMessage `json:"contracts,omitempty"`
}

// ID returns the rule set's identity: 16 hex digits of the SHA-256 of its JSON.
func (r *RuleSet) ID() string {
	b, err := json.Marshal(r)
	if err != nil {
		panic("slo: rule set does not marshal: " + err.Error())
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:8])
}
