package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"nines/internal/alert"
)

const (
	statusFiring   = string(alert.Firing)
	statusResolved = string(alert.Resolved)
	// recentAlerts is how long a resolved alert is shown, milliseconds.
	recentAlerts = dayMs
	// maxResolved bounds how many of those.
	maxResolved = 200
)

func (s *Server) getAlerts(r *http.Request) (any, error) { return s.alerts(r.Context()) }

// alerts merges what the notifier knows (silences, alerts of rule files) with
// what the ledger keeps (also while no notifier runs): firing ones first, then
// those that were resolved lately, newest first.
func (s *Server) alerts(ctx context.Context) ([]alertView, error) {
	logTime, err := s.o.Ledger.LogTime(ctx)
	if err != nil {
		return nil, err
	}
	stored, err := s.o.Ledger.Alerts(ctx, s.who, logTime-recentAlerts)
	if err != nil {
		return nil, err
	}
	var b alertBook
	if s.o.Alerts != nil {
		for _, a := range s.o.Alerts() {
			if !s.who.Sees(a.Labels["customer"]) {
				continue
			}
			v := alertView{Labels: a.Labels, Annotations: a.Annotations, Status: statusResolved, StartsAt: a.StartsAt, EndsAt: a.EndsAt, Silenced: a.Silenced}
			if a.Firing {
				v.Status, v.EndsAt = statusFiring, 0
			}
			b.add(v)
		}
	}
	for _, a := range stored {
		if a.Status != alert.Heartbeat {
			b.add(alertView{Labels: a.Labels, Annotations: a.Annotations, Status: string(a.Status), StartsAt: a.StartsAt, EndsAt: a.EndsAt})
		}
	}
	return b.list(), nil
}

// alertBook merges two accounts of the same alerts.
type alertBook struct {
	all   []alertView
	byKey map[string][]int
}

// sameEpisode is how far apart two accounts of one episode may begin: the
// notifier keeps the earliest start that it heard.
const sameEpisode = 5_000

func (b *alertBook) add(v alertView) {
	if b.byKey == nil {
		b.byKey = map[string][]int{}
	}
	if v.Annotations == nil {
		v.Annotations = map[string]string{}
	}
	key := (&alert.Alert{Labels: v.Labels}).Key()
	for _, i := range b.byKey[key] {
		old := &b.all[i]
		both := v.Status == statusFiring && old.Status == statusFiring
		if !both && max(v.StartsAt-old.StartsAt, old.StartsAt-v.StartsAt) > sameEpisode {
			continue
		}
		if old.Status == statusFiring && v.Status == statusResolved {
			old.Status, old.EndsAt = v.Status, v.EndsAt // the news of its end
		}
		return
	}
	b.byKey[key] = append(b.byKey[key], len(b.all))
	b.all = append(b.all, v)
}

func (b *alertBook) list() []alertView {
	slices.SortStableFunc(b.all, func(x, y alertView) int {
		if x.Status != y.Status {
			if x.Status == statusFiring {
				return -1
			}
			return 1
		}
		if x.Status == statusFiring {
			return cmp.Or(cmp.Compare(severityRank(x), severityRank(y)), cmp.Compare(y.StartsAt, x.StartsAt))
		}
		return cmp.Compare(y.EndsAt, x.EndsAt)
	})
	firing := 0
	for firing < len(b.all) && b.all[firing].Status == statusFiring {
		firing++
	}
	if len(b.all) > firing+maxResolved {
		b.all = b.all[:firing+maxResolved]
	}
	if b.all == nil {
		return []alertView{}
	}
	return b.all
}

func severityRank(a alertView) int {
	var c alertCounts
	c.add(a.Labels["severity"])
	switch {
	case c.Page > 0:
		return 0
	case c.Ticket > 0:
		return 1
	}
	return 2
}
