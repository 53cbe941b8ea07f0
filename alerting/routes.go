package alerting

import (
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	amcommoncfg "github.com/prometheus/alertmanager/config/common"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"

	"nines/internal/alert"
)

// withPages returns the routing tree in which pages wait for nobody. The tree
// is put twice under the root: first as it is, for alerts of severity page, with
// group_wait 0 and the group_interval given, then unchanged for all others.
// Receivers, grouping, matchers, continue, muting and repeat intervals are the
// user's in both. A child per route would not do: a route whose child matches
// with continue would notify a second time.
func withPages(root *amconfig.Route, interval time.Duration) *amconfig.Route {
	page := *pageCopy(root)
	m, err := labels.NewMatcher(labels.MatchEqual, "severity", alert.Page)
	if err != nil {
		panic("alerting: constant matcher is invalid: " + err.Error())
	}
	page.Matchers = amcommoncfg.Matchers{m}
	wait, every := model.Duration(0), model.Duration(interval)
	page.GroupWait, page.GroupInterval = &wait, &every
	out := *root
	out.Routes = append([]*amconfig.Route{&page}, root.Routes...)
	return &out
}

// pageCopy copies a route and all below it without their waits, which are then
// inherited.
func pageCopy(r *amconfig.Route) *amconfig.Route {
	c := *r
	c.GroupWait, c.GroupInterval = nil, nil
	c.Routes = make([]*amconfig.Route, len(r.Routes))
	for i, child := range r.Routes {
		c.Routes[i] = pageCopy(child)
	}
	return &c
}
