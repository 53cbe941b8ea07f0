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

// The readings of a raw ratio, which OpenSLO calls rawType: a sample is itself
// the share of good (or bad) events. It counts as one event, in millionths.
const (
	Success Op = "success"
	Failure Op = "failure"
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
// selected counters, or with Gauge the values of samples; of Good and Bad
// exactly one is set.
type Stream struct {
	Sample    *Selector `json:"sample,omitempty"`
	Op        Op        `json:"op,omitempty"`
	Threshold float64   `json:"threshold,omitempty"`
	Good      *Selector `json:"good,omitempty"`
	Bad       *Selector `json:"bad,omitempty"`
	Total     *Selector `json:"total,omitempty"`
	// Gauge says that samples of Good, Bad and Total are numbers of events by
	// themselves, not readings of cumulative counters.
	Gauge bool `json:"gauge,omitempty"`
	// Unit is how many counts make an event, where values may be fractions: a
	// million for raw ratios, a thousand with Gauge. 0 is one.
	Unit uint64 `json:"unit,omitempty"`
	// Composite names the composite objective that the stream is a part of, so
	// that its groups are evaluated in one place with those of the other parts.
	Composite string `json:"composite,omitempty"`
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
// That of a composite's part begins with what Affinity takes.
func (s *Stream) ID() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic("slo: stream does not marshal: " + err.Error()) // no value of the type can fail
	}
	h := sha256.Sum256(b)
	id := hex.EncodeToString(h[:8])
	if s.Composite == "" {
		return id
	}
	together := sha256.Sum256([]byte(s.Composite))
	return compositeMark + hex.EncodeToString(together[:3]) + id[:6]
}

// compositeMark begins the identities of parts of composites, and affinity is
// how many digits those of one composite share.
const (
	compositeMark = "c05e"
	affinity      = 10
)

// Affinity returns the part of a stream's identity that decides where its
// groups are evaluated: all of it, or what the parts of a composite share.
func Affinity(id string) string {
	if len(id) > affinity && id[:len(compositeMark)] == compositeMark {
		return id[:affinity]
	}
	return id
}

// PartitionOf returns which of n partitions of nines.partials carries a group: a
// stream's, with a hash of its labels. Groups of equal labels in the parts of a
// composite objective share one.
func PartitionOf(stream string, labels uint64, n int32) int32 {
	h := labels
	stream = Affinity(stream)
	for i := 0; i < len(stream); i++ {
		h = h*31 + uint64(stream[i])
	}
	h ^= h >> 33
	return int32(h % uint64(n))
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
	// Target is the promised ratio of good events (Occurrences), of good slots
	// (Timeslices), or the promised mean of the slots' ratios
	// (RatioTimeslices), exact. That of a composite is its parts' lowest.
	Target sla.Ratio `json:"target"`
	// Budgeting is Occurrences, Timeslices or RatioTimeslices.
	Budgeting string `json:"budgeting"`
	// Components are the parts of a composite objective, of which StreamID
	// names the first one's stream; nil for all others.
	Components []Component `json:"components,omitempty"`
	// Window is the length of the rolling window, or of a calendar period, in
	// milliseconds; calendar months count as 30 days in burn-rate factors.
	Window int64 `json:"window_ms"`
	// Calendar is set for calendar-aligned windows.
	Calendar *Calendar `json:"calendar,omitempty"`
	// Burn are the burn-rate rows that alert.
	Burn []BurnRow `json:"burn,omitempty"`
	// Budget are the shares of the error budget whose consumption alerts.
	Budget []BudgetRow `json:"budget,omitempty"`
	// NoData are the alerts on silence.
	NoData []NoData `json:"no_data,omitempty"`
	// Down is the confirmed-down rule; nil where none applies.
	Down *Down `json:"down,omitempty"`
	// Source is file:line of the definition, for messages.
	Source string `json:"source,omitempty"`
}

// Calendar is a calendar-aligned window.
type Calendar struct {
	TimeZone string `json:"time_zone"`
	Unit     string `json:"unit"` // minute, hour, day, week, month, quarter, year
	// Start is the local time from which periods are counted, written as
	// 2006-01-02 15:04:05; empty for 2001-01-01 00:00:00, a Monday.
	Start string `json:"start,omitempty"`
	// Count is how many units a period lasts; 0 is one.
	Count int `json:"count,omitempty"`
}

// Down is the confirmed-down rule: Failures failed bins in a row, each seen
// from at least K of the group's vantage points. N is the number of vantage
// points expected; 0 takes those seen in the last five minutes. K 0 is a
// majority of N.
type Down struct {
	Failures int `json:"failures"`
	K        int `json:"k"`
	N        int `json:"n,omitempty"`
}

// agreed is a majority so large that two failures of each are proof: three
// vantage points that lose one attempt in a hundred fail twice together once in
// 10^12 seconds.
const agreed = 3

// Quorum returns what the rule asks for where so many vantage points are heard:
// failures in a row from k of n. A majority of three or more needs no third
// failure.
func (d *Down) Quorum(heard int) (failures, k, n int) {
	failures, k, n = d.Failures, d.K, max(d.N, heard)
	if k == 0 {
		if k = n/2 + 1; k >= agreed {
			failures = min(failures, 2)
		}
	}
	return failures, max(1, min(k, n)), n
}

// Component is one part of a composite objective.
type Component struct {
	// Objective is the part's name, and StreamID its stream.
	Objective string `json:"objective"`
	StreamID  string `json:"stream"`
	// Weight multiplies what the part's consumption costs the composite.
	Weight float64 `json:"weight"`
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
