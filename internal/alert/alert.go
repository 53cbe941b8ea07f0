// Package alert defines the alert that crosses Kafka on nines.alerts: evaluate
// and ruler publish it, notify routes it. One JSON document per record, keyed
// by the alert's key, so that the compacted topic holds each alert's last word.
package alert

import (
	"fmt"
	"hash/fnv"
	"slices"
)

// Status is the state that a record asserts.
type Status string

// The states an alert record asserts. Only Resolved resolves an alert: silence
// of its publisher makes it stale, never resolved.
const (
	Firing    Status = "firing"
	Resolved  Status = "resolved"
	Heartbeat Status = "heartbeat" // no alert: the publisher is alive and this far
)

// Severities, as in the label "severity".
const (
	Page     = "page"     // wakes the engineer on duty, never held by group_wait
	Ticket   = "ticket"   // next working day
	Advisory = "advisory" // seen in the UI and in channels that ask for it
)

// Alert is one record of nines.alerts.
type Alert struct {
	Status Status `json:"status"`
	// Labels identify the alert; alertname and severity are always set.
	Labels map[string]string `json:"labels"`
	// Annotations are for people: summary, description, runbook.
	Annotations map[string]string `json:"annotations,omitempty"`
	// StartsAt and EndsAt are Unix milliseconds of log time; EndsAt is 0 while
	// firing.
	StartsAt int64 `json:"starts_at"`
	EndsAt   int64 `json:"ends_at,omitempty"`
	// SampleAt is the Unix millisecond of the newest sample that made the
	// condition true; notify measures detection time from it. 0 if unknown.
	SampleAt int64 `json:"sample_at,omitempty"`
	// LogTime is the publisher's log time when it published.
	LogTime int64 `json:"log_time"`
	// Source is the publisher: "evaluate/<partials partition>" or "ruler/<id>".
	Source string `json:"source"`
	// Offset is the position in the source's input up to which this record
	// accounts, so that a repeat after a crash can be told from news.
	Offset int64 `json:"offset"`
}

// Key identifies the alert: equal for its firing and its resolved record.
func (a *Alert) Key() string {
	if a.Status == Heartbeat {
		return "heartbeat/" + a.Source
	}
	names := make([]string, 0, len(a.Labels))
	for n := range a.Labels {
		names = append(names, n)
	}
	slices.Sort(names)
	h := fnv.New128a()
	for _, n := range names {
		fmt.Fprintf(h, "%q=%q,", n, a.Labels[n])
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
