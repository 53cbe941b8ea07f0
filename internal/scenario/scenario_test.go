package scenario_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nines/internal/scenario"
	"nines/internal/scenario/script"
)

// monthRules are an objective and a contract over probes every 5 seconds.
const monthRules = `apiVersion: openslo/v1
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
        - {below: "99", credit: "25"}
`

const month = `rules month.yaml
start 2026-11-01
load fra every 5s
  probe_success{target="shop"}  1*9d 0*12m 1...
end 2026-12-01T00:01
at 9d1m alert ConfirmedDown{target="shop"} since 2026-11-10T00:00:10
at 9d13m resolved ConfirmedDown
settle shop 2026-11
  slots.good 43188
  slots.bad 12
  slots.unknown 0
  attainment_pct 99.97222
  credit.amount 1000.00
`

// one parses the only scenario of a text beside the rules of a month.
func one(t testing.TB, text string) *script.Scenario {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "month.yaml"), []byte(monthRules), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := script.Parse(filepath.Join(dir, "a.scenario"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 {
		t.Fatalf("%d scenarios, want 1", len(all))
	}
	return all[0]
}

func passes(t testing.TB, s *script.Scenario) {
	t.Helper()
	r, err := scenario.Run(context.Background(), s, scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Failures {
		t.Error(f)
	}
}

func TestAMonth(t *testing.T) { passes(t, one(t, month)) }

// expected is the month with an inventory, and silent one in which a second
// resource never says a word.
var (
	expected = strings.Replace(month, "load fra", "resource shop running match.target=shop customer=bank contract=shop fee=\"10000.00 USD\"\nload fra", 1)
	silent   = strings.Replace(strings.Replace(expected, "load fra", "resource mute running match.target=mute customer=bank contract=shop fee=\"10000.00 USD\"\nload fra", 1),
		"  slots.unknown 0\n  attainment_pct 99.97222\n  credit.amount 1000.00\n", "  slots.unknown 43200\n", 1)
)

// TestAMonthExpected: with an inventory, and with a resource that is silent for
// all of it.
func TestAMonthExpected(t *testing.T) {
	passes(t, one(t, expected))
	passes(t, one(t, silent))
}

func BenchmarkMonth(b *testing.B) {
	f := func(name, text string) {
		b.Run(name, func(b *testing.B) {
			s := one(b, text)
			for b.Loop() {
				passes(b, s)
			}
		})
	}
	f("observed", month)
	f("expected", expected)
	f("silent", silent)
}

// TestLongStepsAreExact: where log time moves in long steps the slots are those
// of steps of a second, whatever the values and the outages, and whatever the
// inventory says runs.
func TestLongStepsAreExact(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var values []string
		for range rapid.IntRange(1, 6).Draw(r, "runs") {
			values = append(values, fmt.Sprintf("%s*%dm", rapid.SampledFrom([]string{"1", "1", "0", "_"}).Draw(r, "value"), rapid.IntRange(1, 14).Draw(r, "minutes")))
		}
		fault := ""
		if kind := rapid.SampledFrom([]string{"", "silent", "offline", "lossy", "slow 20s", "repeat"}).Draw(r, "fault"); kind != "" {
			from := rapid.IntRange(1, 1800).Draw(r, "from")
			fault = fmt.Sprintf("fault fra %s from %ds for %ds\n", kind, from, rapid.IntRange(1, 600).Draw(r, "for"))
		}
		resources := ""
		for _, name := range []string{"shop", "mute"} {
			if !rapid.Bool().Draw(r, name+" is known") {
				continue
			}
			resources += fmt.Sprintf("resource %[1]s running match.target=%[1]s customer=bank contract=shop\n", name)
			if stop := rapid.IntRange(0, 80).Draw(r, "stop"); stop > 0 {
				resources += fmt.Sprintf("resource %s stopped from %dm%ds\nresource %[1]s running from %[4]dm\n", name,
					stop, rapid.IntRange(0, 59).Draw(r, "second"), stop+rapid.IntRange(1, 10).Draw(r, "for"))
			}
		}
		f := func(tick string) []string {
			text := "rules month.yaml\nstart 2026-11-01\n" + tick + resources + "agent fra region=eu\nload fra every 5s\n  probe_success{target=\"shop\"} " +
				strings.Join(values, " ") + "\n" + fault + "end 90m\nquiet\n"
			got, err := scenario.Run(context.Background(), one(t, text), scenario.Options{Timeline: true})
			if err != nil {
				r.Fatal(err)
			}
			var slots []string
			for _, line := range got.Timeline {
				if strings.HasPrefix(line, "slots ") {
					slots = append(slots, line)
				}
			}
			return slots
		}
		if fast, exact := f(""), f("tick 1s\n"); !reflect.DeepEqual(fast, exact) {
			r.Errorf("%v %s:\nlong steps %v\nseconds    %v", values, fault, fast, exact)
		}
	})
}

// TestMistakesThatShowWhenItRuns: what a file cannot know by itself is reported at
// the word that names it.
func TestMistakesThatShowWhenItRuns(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		s := one(t, text)
		_, err := scenario.Run(t.Context(), s, scenario.Options{})
		if err == nil || !strings.HasPrefix(strings.TrimPrefix(err.Error(), filepath.Dir(s.File)+"/"), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	const given = "rules month.yaml\nstart 2026-11-01\nload a every 5s\n  probe_success{target=\"shop\"} 1*10m\n"
	f("rules none.yaml\nquiet\n", "a.scenario:1:7: is no file that can be read")
	f("rules month.yaml\nquiet\n", "a.scenario:2:1: needs samples")
	f(given+"state down{target=\"shop\"} up\n", `a.scenario:5:1: the rules have no objective "down"; they have shop/availability, up`)
	f(given+"burn up 2h 1\n", "a.scenario:5:1: no burn-rate row of up has this long window")
	f(given+"settle bank 2026-11\n  slots.bad 0\n", `a.scenario:5:1: the rules have no contract "bank"; they have shop`)
	f(given+"restate shop 2026-11 by lee approved kim\n  delta 0\n", "a.scenario:5:1: restates what was not settled before")
	f(given+"approve x by kim\nquiet\n", "a.scenario:5:1: no exclusion of this name")
	f("rules month.yaml\nfacts\n  vm-1 loss 2 from 2026-11-01 for 1m\nsettle shop 2026-11\n  slots.bad 0\n", "a.scenario:3:3: value: want the share of traffic lost")
	f(given+"resource shop colour=red\nquiet\n", "a.scenario:5:15: unknown column: want resource, from, match.LABEL")
	f(given+"resource shop running\nquiet\n", "a.scenario:5:15: state: shop: match: is required")
	f(given+"resource shop running match.target=shop fee=10\nquiet\n", "a.scenario:5:41: fee: want an amount and a currency")
	f(given+"at 5m resource shop stopped match.target=shop\nquiet\n", "a.scenario:5:21: state: shop: state from 2026-11-01T00:05:00Z: it is stopped before it was ever running")
	f(given+"inventory none.yaml\nquiet\n", "a.scenario:5:11: is no file that can be read")
	f("rules month.yaml\nfacts none.csv\nsettle shop 2026-11\n  slots.bad 0\n", "a.scenario:2:7: ")
}

// TestWhatIsSaidOfAFailure: where, what was expected, and what there was.
func TestWhatIsSaidOfAFailure(t *testing.T) {
	s := one(t, `rules month.yaml
start 2026-11-01
load a every 5s
  probe_success{target="shop"} 1*5m 0*2m 1*5m
at 6m quiet
slots up{target="shop"} G*5 B*3 G*3
slot up{target="mall"} 5m state bad
settle shop 2026-11
  slots.bad 3
  slots.worse 1
`)
	r, err := scenario.Run(t.Context(), s, scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range r.Failures {
		got = append(got, strings.TrimPrefix(f.String(), filepath.Dir(s.File)+"/"))
	}
	want := []string{
		`a.scenario:5:7: expected no alert  at 00:06:00, got ConfirmedDown{kind="down",objective="up",service="shop",severity="page",target="shop"} since 00:05:10`,
		`a.scenario:6:29: expected slot 8 (00:07:00) of up{target="shop"} to be B, got G (12 of 12 good)`,
		`a.scenario:7:1: expected one group up{target="mall"}, got {target="shop"}`,
		`a.scenario:9:3: expected slots.bad 3 in the settlement of shop for 2026-11, got 2`,
		`a.scenario:10:3: expected slots.worse 1 in the settlement of shop for 2026-11, got no key worse, only applicable, bad, excluded, good, not_applicable, unknown`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestNobodyWaitsForAStoppedScenario: a scenario ends with its context.
func TestNobodyWaitsForAStoppedScenario(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), time.Nanosecond)
	defer stop()
	if _, err := scenario.Run(ctx, one(t, month), scenario.Options{}); err == nil {
		t.Error("it ran to its end")
	}
}
