package wire

import (
	"strings"

	"nines/internal/hist"
	"nines/internal/telemetry"
)

// Topics that nines writes.
const (
	TopicTelemetry   = "nines.telemetry"   // frames and ticks; P partitions. Regions may have topics of their own, see IsTelemetry
	TopicPartials    = "nines.partials"    // partials; Q partitions
	TopicCheckpoints = "nines.checkpoints" // compacted: aggregate's state by source partition
	TopicRules       = "nines.rules"       // compacted: rule sets by ID, and "current"
	TopicRoster      = "nines.roster"      // compacted: where each host of the mesh listens, by zone and slot
	TopicAlerts      = "nines.alerts"      // compacted, one partition: alert.Alert as JSON
	TopicDeadLetter  = "nines.deadletter"  // what could not be decoded
)

// Tick is the log's clock: the owner of a telemetry partition appends one every
// 250 ms. Log time is the running maximum of Clock.
type Tick struct {
	// Clock is the owner's clock in Unix milliseconds.
	Clock int64
	// Incarnation counts the lives of the partition's log: a recreated or
	// truncated topic starts a new one.
	Incarnation uint64
	// RuleSet is the ID of the rule set that holds from this tick on.
	RuleSet string
	// Owner names the process, for people.
	Owner string
}

// GroupKey identifies a group: the stream, and the hash of the group's labels.
type GroupKey struct {
	Stream string // 16 hex digits
	Labels uint64 // telemetry.Labels.Hash
}

// Partial is what one stretch (From, To] of one telemetry partition added to
// the groups' bins. From and To are positions in the log: the offset of the
// next record after the stretch. To == From is impossible: a cut happens at a
// tick, which is itself a record.
type Partial struct {
	// Source is the telemetry partition; Sources how many there are.
	Source, Sources int32
	Incarnation     uint64
	From, To        int64
	// LogTime is the source's log time at To, Unix milliseconds.
	LogTime int64
	// RuleSet in force at To.
	RuleSet string
	// Groups announces the labels of groups: with their first mention in the
	// state of the source, and again in the first partial of each minute of
	// log time in which they are mentioned.
	Groups []GroupLabels
	// Counts are what the stretch added, sorted by group, vantage, bin.
	Counts []BinCount
	// Packed, where it is not nil, are the counts instead of Counts: so they
	// come from aggregation, to the encoder, or to evaluation in the same process.
	// Decoders unpack.
	Packed *PackedCounts
	// Sketches are histograms of the samples since the last sketch of the group
	// and slot, cut once per 15 s of log time.
	Sketches []Sketch
	// Unplaced are increments that belong to no slot (rule 7).
	Unplaced []Unplaced
	// Gaps are frames that were lost before they reached the log, and records
	// lost from it. Only partition 0 of nines.partials carries them.
	Gaps []Gap
	// Regions says who was heard in the stretch. Only partition 0 carries them.
	Regions []RegionSeen
	// Agents says which agents were heard since the last such list, cut with
	// the sketches once per 15 s of log time. Only partition 0 carries them.
	Agents []AgentSeen
}

// GroupLabels tells the labels behind a group's key.
type GroupLabels struct {
	Key    GroupKey
	Labels telemetry.Labels
}

// BinCount is the increment of one bin of one group from one vantage point.
type BinCount struct {
	Group   GroupKey
	Vantage string
	// Bin is the bin's start in Unix milliseconds.
	Bin         int64
	Good, Total uint64
	// Blind counts attempts that the vantage point discarded because its
	// control targets failed too; they are in neither Good nor Total.
	Blind uint64
	// Newest is the newest sample time in the bin, Unix milliseconds.
	Newest int64
}

// Sketch is a histogram of a group's samples within one slot.
type Sketch struct {
	Group GroupKey
	// Slot is the slot's start in Unix milliseconds.
	Slot int64
	Hist hist.Histogram
}

// Unplaced is an increment across a gap longer than a slot.
type Unplaced struct {
	Group       GroupKey
	From, To    int64 // Unix milliseconds: the times of the two values
	Good, Total uint64
}

// Gap is a loss that is known: frames that an agent numbered and that never
// came, or records that left the log unread.
type Gap struct {
	// Agent and Boot are empty for records lost from the log.
	Agent string
	Boot  uint64
	// FirstSeq and LastSeq are the missing sequence numbers; for log losses,
	// the missing offsets.
	FirstSeq, LastSeq uint64
	// From and To bound the missing samples' times, Unix milliseconds; 0 where
	// not known.
	From, To int64
	// Reason is one of the Reason constants.
	Reason string
}

// Reasons of gaps.
const (
	ReasonSequence  = "sequence"  // the agent's numbering jumped
	ReasonRestart   = "restart"   // between the last frame of one boot and the first of the next
	ReasonLog       = "log"       // records left the log unread (retention, recreation)
	ReasonSchema    = "schema"    // a frame whose schema never arrived
	ReasonUndecoded = "undecoded" // a record that went to nines.deadletter
	ReasonFuture    = "future"    // samples ahead of log time: the host's clock is wrong
	ReasonPast      = "past"      // samples of a week before log time, or older: likewise
	ReasonLate      = "late"      // another fleet's samples, too old to be told from repeats
	// ReasonRefused begins the reason of a histogram that an objective cannot
	// count: "refused", a space, a word, a colon and why. Its From and To are
	// the first samples' times; no frame is missing.
	ReasonRefused = "refused"
)

// RegionSeen says that frames of a region were read in the stretch.
type RegionSeen struct {
	Region string
	Frames uint32
	// Newest is the newest sample time in them, Unix milliseconds.
	Newest int64
}

// AgentSeen sums up what one agent's boot sent since the last list.
type AgentSeen struct {
	Agent string
	Boot  uint64
	Host  telemetry.Labels
	// Frames and Samples count what was applied; Repeats what was dropped.
	Frames, Samples, Repeats uint64
	// LastSeq is the last sequence number applied.
	LastSeq uint64
	// Newest is the newest sample time, Unix milliseconds.
	Newest int64
	// Skew is the smallest log time minus send time in the interval, in
	// milliseconds: delay plus clock difference, judged between close ticks.
	Skew int64
}

// Headers of records that nines writes.
const (
	HeaderType = "nines-type" // one of the Type constants; absent on foreign records
)

// Values of HeaderType.
const (
	TypeFrame      = "frame/1"
	TypeTick       = "tick/1"
	TypePartial    = "partial/1"
	TypeCheckpoint = "checkpoint/1"
	TypeRuleSet    = "ruleset/1"
	TypeAlert      = "alert/1"
	TypeDeadLetter = "deadletter/1"
	// TypeRosterEntry is a host of the mesh in its slot.
	TypeRosterEntry = "roster/1"
	// TypeReinjection marks a dead letter that was sent again.
	TypeReinjection = "reinjection/1"
)

// DeadLetter explains a record that could not be used. It travels as headers of
// the original record's bytes.
type DeadLetter struct {
	Topic     string
	Partition int32
	Offset    int64
	Reason    string // short and countable: "frame", "schema", "rule set", ...
	Detail    string // the error in words
	// Time is the original's, Unix milliseconds; 0 in letters of older releases.
	Time int64
	// Size is the original's value in bytes where the letter has only its
	// beginning, else 0.
	Size int
}

// Reinjection is written to nines.deadletter when a letter is sent again, so
// that it is not sent twice: once before (claim), once when it is stored.
type Reinjection struct {
	// Letter is the dead letter's offset on nines.deadletter.
	Letter int64
	// Topic and Partition are where it goes, Offset where it stands there; -1 in
	// a claim.
	Topic     string
	Partition int32
	Offset    int64
}

// IsTelemetry tells whether a topic is for frames of nines' agents:
// nines.telemetry, or that of a region, nines.telemetry.REGION.
func IsTelemetry(topic string) bool {
	region, of := strings.CutPrefix(topic, TopicTelemetry+".")
	return topic == TopicTelemetry || of && region != ""
}
