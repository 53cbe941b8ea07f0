package evaluate

import (
	"nines/internal/alert"
	"nines/internal/telemetry"
)

// outage is a confirmed down that was paged, by the labels of its group: the
// objectives of other streams over the same target know it by them.
type outage struct {
	firing int   // objectives whose confirmed down is raised
	ended  int64 // log time when the last one was resolved
}

func (s *State) outageOf(labels uint64) *outage {
	o := s.outages[labels]
	if o == nil {
		o = &outage{}
		s.outages[labels] = o
	}
	return o
}

func (s *State) outageBegins(g *group) { s.outageOf(g.Key.Labels).firing++ }

func (s *State) outageEnds(g *group) {
	o := s.outageOf(g.Key.Labels)
	o.firing = max(0, o.firing-1)
	o.ended = s.logTime
}

// paged tells whether the group's budget burns because of an outage that was
// paged already: one that lasts, or one that still lies in the short window. Who
// was woken by it is not woken again when it is over; a burn that goes on longer
// pages then.
func (s *State) paged(g *group, severity string, short int64) bool {
	o := s.outages[g.Key.Labels]
	return o != nil && severity == alert.Page && (o.firing > 0 || s.logTime-o.ended < short)
}

// forgetOutages drops those that no window reaches any more.
func (s *State) forgetOutages() {
	for labels, o := range s.outages {
		if o.firing == 0 && s.logTime-o.ended > 86_400_000 {
			delete(s.outages, labels)
		}
	}
}

// restoreOutage takes in a confirmed down that was resolved lately. Of the alert's
// labels the group's are those that its objective groups by: a service may be the
// group's own, or told of the objective.
func (s *State) restoreOutage(a *alert.Alert) {
	if a.Labels["alertname"] != AlertDown {
		return
	}
	def := s.parts[a.Labels["objective"]]
	if def == nil || s.rules.Streams[def.StreamID] == nil {
		return // nothing is judged by it any more
	}
	group := map[string]string{}
	for _, name := range s.rules.Streams[def.StreamID].GroupBy {
		if value, ok := a.Labels[name]; ok {
			group[name] = value
		}
	}
	ended := func() {
		o := s.outageOf(telemetry.NewLabels(group).Hash())
		o.ended = max(o.ended, a.EndsAt)
	}
	ended()
	if group["service"] == def.Service { // or of a group that has no service
		delete(group, "service")
		ended()
	}
}
