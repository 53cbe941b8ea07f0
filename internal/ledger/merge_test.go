package ledger

import (
	"slices"
	"strings"
	"testing"

	"nines/internal/telemetry"
	"nines/internal/wire"
)

func TestListsOfAgentsAreMerged(t *testing.T) {
	host := func(zone string) telemetry.Labels { return telemetry.NewLabels(map[string]string{"zone": zone}) }
	w := &writer{l: &Ledger{dialect: &dialect{text: func(s string) string { return strings.ReplaceAll(s, "\x00", "") }}}}
	got := w.mergeAgents([]wire.AgentSeen{
		{Agent: "web-2", Boot: 1, Frames: 1, LastSeq: 1},
		{Agent: "web-1", Boot: 2, Frames: 15, Samples: 1500, Repeats: 1, LastSeq: 15, Newest: 15_000, Skew: 3, Host: host("a")},
		{Agent: "web-1", Boot: 1, Frames: 7, LastSeq: 70},
		{Agent: "web-1\x00", Boot: 2, Frames: 10, Samples: 1000, Repeats: 2, LastSeq: 14, Newest: 30_000, Skew: -2, Host: host("b")},
	})
	want := []wire.AgentSeen{
		{Agent: "web-1", Boot: 1, Frames: 7, LastSeq: 70},
		{Agent: "web-1", Boot: 2, Frames: 25, Samples: 2500, Repeats: 3, LastSeq: 15, Newest: 30_000, Skew: -2, Host: host("b")},
		{Agent: "web-2", Boot: 1, Frames: 1, LastSeq: 1},
	}
	if !slices.EqualFunc(got, want, func(a, b wire.AgentSeen) bool {
		ok := slices.Equal(a.Host, b.Host)
		a.Host, b.Host = nil, nil
		return ok && a.Agent == b.Agent && a.Boot == b.Boot && a.Frames == b.Frames && a.Samples == b.Samples && a.Repeats == b.Repeats &&
			a.LastSeq == b.LastSeq && a.Newest == b.Newest && a.Skew == b.Skew
	}) {
		t.Errorf("got %+v", got)
	}
}
