package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"nines/internal/scenario"
	"nines/internal/scenario/script"
)

// monthFile is the contract of the scenario's month, over probes every 5 seconds.
const monthFile = `apiVersion: openslo/v1
kind: SLO
metadata: {name: up}
spec:
  service: shop
  indicator:
    metadata: {name: up}
    spec:
      thresholdMetric:
        metricSource:
          type: nines
          spec: {metric: probe_success, groupBy: [target], bin: 5s}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives: [{op: gte, value: 1, target: 0.999}]
---
apiVersion: nines/v1
kind: SLA
metadata: {name: shop}
spec:
  customer: bank
  timeZone: UTC
  period: month
  fee: {amount: "10000.00", currency: USD}
  objectives:
    - name: availability
      sli: {objective: up}
      slot: {length: 1m, badWhen: unreachable}
      unknown: exclude
      denominator: calendar
      aggregation: pooled
      tiers:
        - {below: "99.975", credit: "10"}
`

// monthScenario is a month of two resources, of which one never says a word.
const monthScenario = `rules month.yaml
start 2026-11-01
resource shop running match.target=shop customer=bank contract=shop fee="10000.00 USD"
resource mute running match.target=mute customer=bank contract=shop fee="10000.00 USD"
load fra every 5s
  probe_success{target="shop"}  1*9d 0*12m 1...
end 2026-12-01T00:01
at 9d1m alert ConfirmedDown{target="shop"} since 2026-11-10T00:00:10
settle shop 2026-11
  slots.good 43188
  slots.bad 12
  slots.unknown 43200
`

// ScenarioMonthSeconds is the CPU time of a scenario that plays a month with an
// inventory: two groups of 43,200 slots, a probe each 5 s, an outage, a resource
// that is silent, and the settlement.
func (suite) ScenarioMonthSeconds() benchmark {
	dir := ""
	return benchmark{Name: "scenario_month_seconds", Unit: "s", Better: lower, Target: 1,
		Prepare: func() (func() (float64, error), error) {
			var err error
			if dir, err = os.MkdirTemp("", "nines-bench-"); err != nil {
				return nil, fmt.Errorf("make a directory for the scenario: %w", err)
			}
			if err := os.WriteFile(filepath.Join(dir, "month.yaml"), []byte(monthFile), 0o600); err != nil {
				return nil, fmt.Errorf("write the scenario's rules: %w", err)
			}
			all, err := script.Parse(filepath.Join(dir, "month.scenario"), []byte(monthScenario))
			if err != nil {
				return nil, err
			}
			return func() (float64, error) { return playMonth(all[0]) }, nil
		},
		Clean: func() { _ = os.RemoveAll(dir) }}
}

// playMonth returns the CPU seconds that the scenario takes; it has to pass.
func playMonth(s *script.Scenario) (float64, error) {
	start, err := cpuTime()
	if err != nil {
		return 0, err
	}
	got, err := scenario.Run(context.Background(), s, scenario.Options{})
	if err != nil {
		return 0, err
	}
	var failed error
	for _, f := range got.Failures {
		failed = errors.Join(failed, errors.New(f.String()))
	}
	end, err := cpuTime()
	return (end - start).Seconds(), errors.Join(failed, err)
}
