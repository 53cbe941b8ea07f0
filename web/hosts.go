package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"nines/internal/ledger"
)

const (
	// blindAfter is how long a region may be unheard before it is silent: the
	// 60 s of the page, and the 15 s by which the lists of agents lag.
	blindAfter = 75_000
	// forgetAfter is how long a host without a word is still counted.
	forgetAfter = 7 * dayMs
)

func (s *Server) getHosts(r *http.Request) (any, error) {
	agents, err := s.o.Ledger.Agents(r.Context(), s.who)
	if err != nil {
		return nil, err
	}
	return hostsOf(agents), nil
}

// hostsOf makes one row of every agent, of its newest boot, with the counts of
// all boots that the ledger keeps; by host.
func hostsOf(agents []ledger.Agent) []hostView {
	at := map[string]int{}
	rows := []hostView{}
	for _, a := range agents { // the newest boot of an agent comes last
		v := hostOf(&a)
		i, known := at[a.Agent]
		if !known {
			at[a.Agent] = len(rows)
			rows = append(rows, v)
			continue
		}
		old := rows[i]
		v.FirstSeen = min(v.FirstSeen, old.FirstSeen)
		v.Frames += old.Frames
		v.Samples += old.Samples
		v.Repeats += old.Repeats
		v.GapFrames += old.GapFrames
		rows[i] = v
	}
	slices.SortStableFunc(rows, func(a, b hostView) int {
		return cmp.Or(strings.Compare(a.Region, b.Region), strings.Compare(a.Zone, b.Zone), strings.Compare(a.Host, b.Host), strings.Compare(a.Agent, b.Agent))
	})
	return rows
}

func hostOf(a *ledger.Agent) hostView {
	return hostView{
		Host: cmp.Or(a.Host.Get("host"), a.Agent), Zone: a.Host.Get("zone"), Region: a.Host.Get("region"),
		Agent: a.Agent, Boot: fmt.Sprintf("%016x", a.Boot), FirstSeen: a.FirstSeen, LastSeen: a.LastSeen,
		Frames: a.Frames, Samples: a.Samples, Repeats: a.Repeats, GapFrames: a.GapFrames,
		SkewMs: a.Skew, Newest: a.Newest, Labels: a.Host.Map(),
	}
}

// getAgents answers with every boot of every agent, the newest first.
func (s *Server) getAgents(r *http.Request) (any, error) {
	agents, err := s.o.Ledger.Agents(r.Context(), s.who)
	if err != nil {
		return nil, err
	}
	rows := make([]hostView, 0, len(agents))
	for i := range agents {
		rows = append(rows, hostOf(&agents[i]))
	}
	slices.SortStableFunc(rows, func(a, b hostView) int {
		return cmp.Or(strings.Compare(a.Agent, b.Agent), cmp.Compare(b.LastSeen, a.LastSeen))
	})
	return rows, nil
}

func (s *Server) getRegions(r *http.Request) (any, error) {
	logTime, err := s.o.Ledger.LogTime(r.Context())
	if err != nil {
		return nil, err
	}
	alerts, err := s.alerts(r.Context())
	if err != nil {
		return nil, err
	}
	return s.regions(r.Context(), logTime, alerts)
}

// regions sums up who was heard, by region.
func (s *Server) regions(ctx context.Context, logTime int64, alerts []alertView) ([]regionView, error) {
	agents, err := s.o.Ledger.Agents(ctx, s.who)
	if err != nil {
		return nil, err
	}
	blind := map[string]bool{}
	for _, a := range alerts {
		if a.Status == statusFiring && a.Labels["kind"] == "blind" && a.Labels["region"] != "" {
			blind[a.Labels["region"]] = true
		}
	}
	return regionsOf(hostsOf(agents), logTime, blind), nil
}

func regionsOf(hosts []hostView, logTime int64, blind map[string]bool) []regionView {
	regions := []regionView{}
	seen := map[string]bool{} // region and host
	for _, h := range hosts { // by region and zone
		n := len(regions)
		if n == 0 || regions[n-1].Name != h.Region {
			regions = append(regions, regionView{Name: h.Region, Zones: []string{}, Silent: blind[h.Region]})
			n++
		}
		r := &regions[n-1]
		r.LastSeen = max(r.LastSeen, h.LastSeen)
		if logTime-h.LastSeen > forgetAfter {
			continue
		}
		r.Agents++
		if key := h.Region + "\x00" + h.Host; !seen[key] {
			seen[key] = true
			r.Hosts++
		}
		if h.Zone != "" && !slices.Contains(r.Zones, h.Zone) {
			r.Zones = append(r.Zones, h.Zone)
		}
	}
	for i := range regions {
		regions[i].Silent = regions[i].Silent || logTime-regions[i].LastSeen > blindAfter
	}
	return regions
}

func (s *Server) getGaps(r *http.Request) (any, error) {
	from, to, err := s.timeRange(r)
	if err != nil {
		return nil, err
	}
	gaps, err := s.o.Ledger.Gaps(r.Context(), s.who, from, to)
	if err != nil {
		return nil, err
	}
	rows := make([]gapView, 0, len(gaps))
	for _, g := range gaps {
		v := gapView{Agent: g.Agent, FirstSeq: g.FirstSeq, LastSeq: g.LastSeq, From: g.From, To: g.To, Reason: g.Reason}
		if g.Agent != "" {
			v.Boot = fmt.Sprintf("%016x", g.Boot)
		}
		rows = append(rows, v)
	}
	return rows, nil
}

// timeRange reads a request's range; without one it is the last six hours.
func (s *Server) timeRange(r *http.Request) (from, to int64, err error) {
	return s.rangeOf(r, defaultSpan)
}

// rangeOf reads a request's range; without one it is the span that ends at the log
// time, or now before there is any.
func (s *Server) rangeOf(r *http.Request, span int64) (from, to int64, err error) {
	logTime, err := s.o.Ledger.LogTime(r.Context())
	if err != nil {
		return 0, 0, err
	}
	if logTime == 0 {
		logTime = s.now().UnixMilli()
	}
	return timeRange(r.URL.Query(), logTime, span)
}
