package collector

import (
	"fmt"
	"strings"
)

// objective is one promise, of which every contestant gets its own form: nines
// as OpenSLO, the others as rules.
type objective struct {
	name, service string // all services where empty
	bad           string // the counter of bad requests
	by            string // the label it is grouped by
	target        float64
}

// objectives are 21: two indicators of each of two services by region and zone,
// with a strict and a lax target, and some over both services or by host.
func objectives() (out []objective) {
	add := func(service, bad, by string, target float64) {
		name := strings.Trim(fmt.Sprintf("%s-%s-%s-%g", service, bad, by, target*1000), "-")
		out = append(out, objective{name, service, "http_" + bad + "_total", by, target})
	}
	for _, service := range []string{"checkout", "search"} {
		for _, bad := range []string{"errors", "slow"} {
			for _, by := range []string{"region", "zone"} {
				add(service, bad, by, 0.999)
				add(service, bad, by, 0.99)
			}
		}
	}
	for _, bad := range []string{"errors", "slow"} {
		for _, by := range []string{"region", "zone"} {
			add("", bad, by, 0.995)
		}
	}
	add("checkout", "errors", "host", 0.99)
	return out
}

// selector is the series' part of a query, with braces.
func (o objective) selector() string {
	if o.service == "" {
		return ""
	}
	return fmt.Sprintf("{service=%q}", o.service)
}

// openSLO is the objectives as nines reads them, in one file.
func openSLO(all []objective) string {
	var b strings.Builder
	for _, o := range all {
		labels := ""
		if o.service != "" {
			labels = ", labels: {service: " + o.service + "}"
		}
		fmt.Fprintf(&b, `---
apiVersion: openslo/v1
kind: SLO
metadata: {name: %s}
spec:
  service: shop
  indicator:
    metadata: {name: %[1]s}
    spec:
      ratioMetric:
        counter: true
        total: {metricSource: {type: nines, spec: {metric: http_requests_total%[2]s, groupBy: [%[3]s]}}}
        bad: {metricSource: {type: nines, spec: {metric: %[4]s%[2]s, groupBy: [%[3]s]}}}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives: [{target: %[5]g}]
`, o.name, labels, o.by, o.bad, o.target)
	}
	return b.String()
}

// rows are the table of multi-window burn rates that nines has by default (The
// Site Reliability Workbook, chapter 5).
func rows() []burnRow {
	return []burnRow{{"page", "1h", "5m", 14.4}, {"page", "6h", "30m", 6}, {"ticket", "1d", "2h", 3}, {"ticket", "3d", "6h", 1}}
}

type burnRow struct {
	severity, long, short string
	factor                float64
}

// recordings are the error ratios over every window of the table, as rules of
// Prometheus and vmalert, evaluated each second.
func recordings(all []objective) string {
	b := strings.Builder{}
	b.WriteString("groups:\n- name: ratios\n  interval: 1s\n  rules:\n")
	for _, o := range all {
		for _, w := range []string{"5m", "30m", "1h", "2h", "6h", "1d", "3d"} {
			rate := func(metric string) string {
				return fmt.Sprintf("sum by (%s) (rate(%s%s[%s]))", o.by, metric, o.selector(), w)
			}
			fmt.Fprintf(&b, "  - record: slo:errors:ratio_rate%s\n    labels: {slo: %s}\n    expr: %s / %s\n", w, o.name, rate(o.bad), rate("http_requests_total"))
		}
	}
	return b.String()
}

// alerts are the table's alerts over what was recorded.
func alerts(all []objective) string {
	b := strings.Builder{}
	b.WriteString("groups:\n- name: burn\n  interval: 1s\n  rules:\n")
	for _, o := range all {
		for _, r := range rows() {
			over := func(w string) string {
				return fmt.Sprintf("slo:errors:ratio_rate%s{slo=%q} > %g * (1 - %g)", w, o.name, r.factor, o.target)
			}
			fmt.Fprintf(&b, "  - alert: ErrorBudgetBurn\n    labels: {severity: %s, slo: %s, window: %s}\n    expr: %s and %s\n", r.severity, o.name, r.long, over(r.long), over(r.short))
		}
	}
	return b.String()
}
