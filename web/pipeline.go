package web

import (
	"net/http"
)

// Pipeline is how the roles of a process keep up with the log.
type Pipeline struct {
	// Loops are the loops that read partitions, in the order of the data.
	Loops []Loop `json:"loops"`
	// Letters are the newest dead letters, the newest first; of those that were
	// looked at, Reasons counts them.
	Letters []Letter       `json:"letters"`
	Reasons map[string]int `json:"reasons"`
	// Looked is how many of the last records of nines.deadletter were looked at.
	Looked int64 `json:"looked_at"`
	// Trouble says why there are no letters, "" where they could be read.
	Trouble string `json:"trouble,omitempty"`
}

// Loop is one role's loop over one partition; nines_ROLE_* on /metrics.
type Loop struct {
	Role      string `json:"role"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// LagRecords and LagSeconds are -1 where they are not known yet.
	LagRecords int64   `json:"lag_records"`
	LagSeconds float64 `json:"lag_seconds"`
	// FetchSeconds, BusySeconds and IdleSeconds were spent since the start.
	FetchSeconds float64 `json:"fetch_seconds"`
	BusySeconds  float64 `json:"busy_seconds"`
	IdleSeconds  float64 `json:"idle_seconds"`
	// Saturation is the share of the last minute without waiting, 0 to 1.
	Saturation float64 `json:"saturation"`
}

// Letter is a record that could not be used.
type Letter struct {
	// Letter is its number, as nines deadletter takes it.
	Letter int64 `json:"letter"`
	// Time is when it was buried, Unix milliseconds.
	Time      int64  `json:"time"`
	Reason    string `json:"reason"`
	Detail    string `json:"detail"`
	Advice    string `json:"advice"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Bytes     int    `json:"bytes"`
	// Again says that it was sent again.
	Again bool `json:"sent_again"`
}

// getPipeline answers operators alone: letters hold what any customer sent.
func (s *Server) getPipeline(r *http.Request) (any, error) {
	if !s.who.Operator {
		return nil, &apiError{http.StatusForbidden, "the pipeline is shown to operators only"}
	}
	if s.o.Pipeline == nil {
		return nil, &apiError{http.StatusServiceUnavailable, "this process reads no partitions: ask a collector that runs aggregate, evaluate, ruler or notify"}
	}
	return s.o.Pipeline(r.Context())
}
