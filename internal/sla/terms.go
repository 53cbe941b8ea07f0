package sla

// Runs says how unreachable time makes the slots that are settled, where these
// are not simply the stream's: package clauses lays them out.
type Runs struct {
	// Slot is the length of the settled slots in milliseconds, aligned to the
	// contract's time zone; the stream's may be shorter.
	Slot int64 `json:"slot_ms"`
	// MinRun leaves out shorter runs, milliseconds; Longer those of exactly this
	// length, too.
	MinRun int64 `json:"min_run_ms,omitempty"`
	Longer bool  `json:"longer,omitempty"`
	// RunAligned counts slots from the start of each run, not by the clock.
	RunAligned bool `json:"run_aligned,omitempty"`
	// Touched makes every slot bad that a run touches, not only those that it
	// covers wholly.
	Touched bool `json:"touched,omitempty"`
	// Over, where not zero, makes a slot bad if more than this of it was
	// unreachable, in milliseconds, covered or not.
	Over int64 `json:"over_ms,omitempty"`
}

// Zones says when a service over availability zones is unavailable. A zone is in
// use when it has a running instance, and down when each of them is bad.
type Zones struct {
	Rule    ZoneRule `json:"rule"`
	AtLeast int      `json:"at_least,omitempty"` // zones that must be down, for AllAll
	// Label of the stream's groups names the zone; the values of Within make one
	// service, such as region.
	Label  string   `json:"label"`
	Within []string `json:"within,omitempty"`
}

// ZoneRule is a combination of zones.
type ZoneRule string

// The rules over zones.
const (
	AllAny     ZoneRule = "all+any"     // a zone down, and an instance of another bad
	AllAll     ZoneRule = "all+all"     // at least so many zones down
	RegionWide ZoneRule = "region-wide" // every zone in use down
)

// Recurrence repeats an exclusion in local wall time.
type Recurrence struct {
	TimeZone string `json:"time_zone"`
	// Days are the local days on which it begins, 0 for Sunday; none for all.
	Days []int `json:"days,omitempty"`
	// From and To are milliseconds from midnight on the clock; To at or before
	// From lies on the next day. An hour that the clock leaves out excludes
	// nothing, one that it shows twice excludes both.
	From int64 `json:"from_ms"`
	To   int64 `json:"to_ms"`
}

// ExclusionTerm bounds what the exclusions of a category may take out.
type ExclusionTerm struct {
	Category string `json:"category"`
	// Notice is how long before its start an exclusion must be announced, and
	// Allowance how much of a period they may take together; milliseconds, 0 for
	// no bound.
	Notice    int64 `json:"notice_ms,omitempty"`
	Allowance int64 `json:"allowance_ms,omitempty"`
}

// Changes are what changes within a period, at instants.
type Changes struct {
	// Apart settles each part of the period by itself, on its share of the fee;
	// else all slots are pooled under the terms last in force.
	Apart bool     `json:"apart,omitempty"`
	At    []Change `json:"at"`
}

// Change is what holds from an instant on; what it leaves out stays.
type Change struct {
	From     int64             `json:"from"` // Unix milliseconds
	Reason   string            `json:"reason"`
	Customer string            `json:"customer,omitempty"` // the new owner
	Fee      *Fee              `json:"fee,omitempty"`
	Tiers    map[string][]Tier `json:"tiers,omitempty"` // by the names of objectives
}

// Revision says how a settled period may be settled again.
type Revision struct {
	CustomerFavour bool `json:"customer_favour,omitempty"` // credits only grow
	// Cutoff is how long after the period's end it may be, in milliseconds.
	Cutoff int64 `json:"cutoff_ms"`
}

// Chronic is repeated failure: attainment below a bound in so many of the last
// months, which gives the right to leave.
type Chronic struct {
	Below  Ratio `json:"below"`
	Months int   `json:"months"`
	Of     int   `json:"of"`
}

// Delays are the contract's other promises in time; they change no figure.
type Delays struct {
	ClaimDays      int `json:"claim_days,omitempty"`      // to claim a credit after the period
	CauseDays      int `json:"cause_days,omitempty"`      // business days for a root cause analysis
	EvidenceMonths int `json:"evidence_months,omitempty"` // for which evidence is kept
}
