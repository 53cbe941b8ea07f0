package web

import (
	"nines/internal/sla"
	"nines/internal/slo"
)

// The views are the API's answers; docs of their keys stand beside them. Times
// are Unix milliseconds, ratios exact.

type overviewView struct {
	Now int64 `json:"now"`
	// LogTime is up to when the ledger accounts for everything.
	LogTime    int64           `json:"log_time"`
	Version    string          `json:"version"`
	DataDir    string          `json:"data_dir"`
	Regions    []regionView    `json:"regions"`
	Objectives []objectiveView `json:"objectives"`
	Alerts     alertCounts     `json:"alerts"`
}

// alertCounts counts firing alerts that no silence covers.
type alertCounts struct {
	Page     int `json:"page"`
	Ticket   int `json:"ticket"`
	Advisory int `json:"advisory"`
}

type regionView struct {
	Name     string   `json:"name"`
	Zones    []string `json:"zones"`
	Hosts    int      `json:"hosts"`
	Agents   int      `json:"agents"`
	LastSeen int64    `json:"last_seen"`
	// Silent says that nothing was heard for longer than blindAfter, or that
	// the evaluator says so.
	Silent bool `json:"silent"`
}

type objectiveView struct {
	Name        string        `json:"name"`
	DisplayName string        `json:"display_name"`
	Service     string        `json:"service"`
	Description string        `json:"description"`
	Target      sla.Ratio     `json:"target"`
	TargetPct   string        `json:"target_pct"`
	Budgeting   string        `json:"budgeting"`
	WindowMs    int64         `json:"window_ms"`
	Calendar    *slo.Calendar `json:"calendar"`
	Stream      string        `json:"stream"`
	Metric      string        `json:"metric"`
	// Kind is availability, latency or ratio.
	Kind      string   `json:"kind"`
	Threshold *float64 `json:"threshold"`
	SlotMs    int64    `json:"slot_ms"`
	// GroupsTotal counts all groups, GroupsDecided those with data, GroupsMet
	// those that keep the promise so far; Groups may hold the worst alone.
	GroupsTotal   int         `json:"groups_total"`
	GroupsDecided int         `json:"groups_decided"`
	GroupsMet     int         `json:"groups_met"`
	Groups        []groupView `json:"groups"`
}

type groupView struct {
	ID     string            `json:"id"`
	Labels map[string]string `json:"labels"`
	// State is up, failing, down or silent; Down "", advisory or down.
	State      string    `json:"state"`
	Down       string    `json:"down"`
	Attainment sla.Ratio `json:"attainment"`
	// AttainmentPct is truncated; empty without data.
	AttainmentPct string     `json:"attainment_pct"`
	BudgetLeft    float64    `json:"budget_left"`
	Burn          []burnView `json:"burn"`
	Good          uint64     `json:"good"`
	Total         uint64     `json:"total"`
	GoodSlots     uint64     `json:"good_slots"`
	BadSlots      uint64     `json:"bad_slots"`
	UnknownSlots  uint64     `json:"unknown_slots"`
	LastSample    int64      `json:"last_sample"`
	LogTime       int64      `json:"log_time"`
}

type burnView struct {
	Severity string  `json:"severity"`
	LongMs   int64   `json:"long_ms"`
	ShortMs  int64   `json:"short_ms"`
	Factor   float64 `json:"factor"`
	Long     float64 `json:"long"`
	Short    float64 `json:"short"`
	Firing   bool    `json:"firing"`
}

type slotsView struct {
	Group  string            `json:"group"`
	Labels map[string]string `json:"labels"`
	SlotMs int64             `json:"slot_ms"`
	Slots  []slotView        `json:"slots"`
}

type slotView struct {
	T       int64  `json:"t"`
	S       string `json:"s"`
	Good    uint64 `json:"good"`
	Total   uint64 `json:"total"`
	Version uint32 `json:"v"`
	Reason  string `json:"reason"`
}

type percentilesView struct {
	Q      []float64         `json:"q"`
	StepMs int64             `json:"step_ms"`
	Points []percentilePoint `json:"points"`
}

type percentilePoint struct {
	T     int64  `json:"t"`
	Count uint64 `json:"count"`
	// Inf counts the time-outs, which are in Count too.
	Inf uint64 `json:"inf"`
	// V holds seconds by quantile; null where the quantile is a time-out.
	V []*float64 `json:"v"`
}

type burndownView struct {
	StepMs int64           `json:"step_ms"`
	Points []burndownPoint `json:"points"`
}

type burndownPoint struct {
	T          int64   `json:"t"`
	BudgetLeft float64 `json:"budget_left"`
}

type hostView struct {
	Host      string            `json:"host"`
	Zone      string            `json:"zone"`
	Region    string            `json:"region"`
	Agent     string            `json:"agent"`
	Boot      string            `json:"boot"`
	FirstSeen int64             `json:"first_seen"`
	LastSeen  int64             `json:"last_seen"`
	Frames    uint64            `json:"frames"`
	Samples   uint64            `json:"samples"`
	Repeats   uint64            `json:"repeats"`
	GapFrames uint64            `json:"gap_frames"`
	SkewMs    int64             `json:"skew_ms"`
	Newest    int64             `json:"newest"`
	Labels    map[string]string `json:"labels"`
}

type contractView struct {
	Name       string          `json:"name"`
	Customer   string          `json:"customer"`
	Product    string          `json:"product"`
	Objectives []sla.Objective `json:"objectives"`
	Fee        sla.Fee         `json:"fee"`
	// File is the name of the contract file, Raw the whole contract.
	File string        `json:"file"`
	Raw  *sla.Contract `json:"raw"`
}

type alertView struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Status      string            `json:"status"`
	StartsAt    int64             `json:"starts_at"`
	EndsAt      int64             `json:"ends_at"`
	Silenced    bool              `json:"silenced"`
}

type gapView struct {
	Agent string `json:"agent"`
	// Boot is 16 hex digits; empty for records lost from the log.
	Boot     string `json:"boot"`
	FirstSeq uint64 `json:"first_seq"`
	LastSeq  uint64 `json:"last_seq"`
	From     int64  `json:"from"`
	To       int64  `json:"to"`
	Reason   string `json:"reason"`
}
