package evaluate

import (
	"nines/internal/alert"
	"nines/internal/slo"
	"nines/internal/telemetry"
)

// Places among the alerts of an objective; the burn rows follow, then the budget
// rows and those on silence.
const (
	atDown = iota
	atAdvisory
)

// named is an alert's identity, made once: its labels and key.
type named struct {
	key    string
	labels map[string]string
}

func newNamed(labels map[string]string) named {
	a := alert.Alert{Labels: labels}
	return named{key: a.Key(), labels: labels}
}

// newJudged returns the objective as the group stands to it. An alert that stood
// before, of a ledger or a rule set that is no longer in force, is taken over.
func (s *State) newJudged(g *group, o *slo.Objective) judged {
	j := judged{def: o}
	for _, a := range s.strangers[o.Name] {
		if within(g.Labels, a.Labels) {
			j.name(g)
			break
		}
	}
	return j
}

// orOwn adds a label to an alert's where the group has none of its own, by which
// it is told apart.
func orOwn(labels map[string]string, name, value string) {
	if _, own := labels[name]; !own && value != "" {
		labels[name] = value
	}
}

// within tells whether an alert's labels hold all of a group's.
func within(g telemetry.Labels, labels map[string]string) bool {
	for _, l := range g {
		if labels[l.Name] != l.Value {
			return false
		}
	}
	return true
}

// name makes the identities of the alerts, which most groups never need.
func (j *judged) name(g *group) {
	t, o := j.troubled(), j.def
	if t.alerts != nil {
		return
	}
	add := func(name, severity, kind string, more map[string]string) {
		labels := g.Labels.Map()
		labels["alertname"], labels["severity"], labels["kind"] = name, severity, kind
		labels["objective"] = o.Name
		orOwn(labels, "service", o.Service)
		for name, value := range more {
			labels[name] = value
		}
		t.alerts = append(t.alerts, newNamed(labels))
	}
	add(AlertDown, alert.Page, "down", nil)
	add(AlertAdvisory, alert.Advisory, "advisory", nil)
	for _, r := range o.Burn {
		more := policyLabels(r.Policy, map[string]string{"window": duration(r.Long)})
		if r.Condition != "" {
			more["condition"] = r.Condition
		}
		add(AlertBurn, r.Severity, "burn", more)
	}
	for _, r := range o.Budget {
		add(AlertBudget, r.Severity, "budget", budgetLabels(r))
	}
	for _, r := range o.NoData {
		add(AlertNoData, r.Severity, "nodata", policyLabels(r.Policy, map[string]string{}))
	}
}

// raised tells whether alert i of the objective stands. One without a name never
// stood.
func (s *State) raised(j *judged, i int) bool {
	alerts := j.alerts()
	return alerts != nil && s.firing(&alerts[i])
}

// raise raises alert i of the objective, which does not stand yet.
func (s *State) raise(g *group, j *judged, i int, sampleAt int64, summary string) {
	j.name(g)
	s.fire(&j.trouble.alerts[i], sampleAt, summary)
}

// withdraw ends alert i of the objective if it stands.
func (s *State) withdraw(j *judged, i int) {
	if alerts := j.alerts(); alerts != nil {
		s.resolve(&alerts[i])
	}
}
