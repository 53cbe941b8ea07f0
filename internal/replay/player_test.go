package replay_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nines/collector/evaluate"
	"nines/internal/ledger"
	"nines/internal/replay"
	"nines/internal/rows"
	"nines/internal/sla"
	"nines/internal/slo"
)

// table is a mapping and what is played by it.
const table = `apiVersion: nines/v1
kind: Mapping
spec:
  time: {column: at, format: unix}
  sort: all
  labels: {target: target}
  values:
    - {column: up, series: up}
    - {column: held, series: up, hold: {every: 1m, for: 2h}}
`

func upStream() *slo.Stream {
	return &slo.Stream{Sample: &slo.Selector{Metric: "up"}, Op: slo.GTE, Threshold: 1, GroupBy: []string{"target"}, Bin: minute,
		Rule: sla.SlotRule{Length: minute, Bad: sla.BadRatio, MaxRatio: sla.Ratio{Num: 0, Den: 1}, MinCount: 1}}
}

// play plays a table of seconds after epoch into the ledger.
func play(t *testing.T, led *ledger.Ledger, body string, until int64) (*replay.Player, []replay.Standing, int64) {
	t.Helper()
	m, err := rows.Parse("m.yaml", []byte(table))
	must(t, err)
	var b strings.Builder
	fmt.Fprintln(&b, "at,target,up,held")
	for _, line := range strings.Fields(body) {
		at, rest, _ := strings.Cut(line, ",")
		var sec int64
		_, err := fmt.Sscan(at, &sec)
		must(t, err)
		fmt.Fprintf(&b, "%d,%s\n", epoch/1000+sec, rest)
	}
	name := filepath.Join(t.TempDir(), "t.csv")
	must(t, os.WriteFile(name, []byte(b.String()), 0o600))
	files, err := rows.Open(rows.Options{Mapping: m, Files: []string{name}, Strict: true})
	must(t, err)
	defer files.Close()
	set := rules(upStream())
	p, err := replay.New(t.Context(), replay.Options{Rules: set, Ledger: led,
		Evaluate: evaluate.Config{Lateness: replay.PlayedLateness, RetireAfter: 1000 * day}})
	must(t, err)
	pl := replay.NewPlayer(p, &files.Table)
	must(t, pl.Play(files))
	if until > 0 {
		until = epoch + until*1000
	}
	end, err := pl.End(until)
	must(t, err)
	standings, err := replay.Summarize(t.Context(), led, set, epoch-day, end, time.UTC)
	must(t, err)
	return pl, standings, end
}

func slotsOf(s *replay.Standing) string {
	return fmt.Sprintf("%s %d good %d bad %d unknown %d open", s.Labels.Get("target"), s.Sum.GoodSlots, s.Sum.BadSlots, s.Sum.UnknownSlots, s.Sum.Open)
}

func wantSlots(t *testing.T, standings []replay.Standing, want ...string) {
	t.Helper()
	var got []string
	for i := range standings {
		got = append(got, slotsOf(&standings[i]))
	}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("%s, want %s", strings.Join(got, "; "), strings.Join(want, "; "))
	}
}

// Days of silence in the data are unknown slots, and no loss.
func TestAGapInTheDataIsUnknown(t *testing.T) {
	led := open(t)
	_, standings, end := play(t, led, "0,a,1, 59,a,1, 60,a,0, 864000,a,1,", 0)
	if end != epoch+10*day+minute {
		t.Errorf("the data ends %d s after its beginning", (end-epoch)/1000)
	}
	wantSlots(t, standings, "a 2 good 1 bad 14398 unknown 0 open")
	if n := len(standings[0].Days); n != 11 {
		t.Errorf("%d days", n)
	}
	if low := standings[0].Lowest(3); len(low) != 1 || low[0].BadSlots != 1 {
		t.Errorf("lowest days %+v", low)
	}
	for _, g := range read(t, led, rules(upStream())).gaps {
		if g.Reason != "restart" {
			t.Errorf("gap %+v", g)
		}
	}
}

// A value that holds is repeated until the next one, and no longer than it says.
func TestHeldValues(t *testing.T) {
	_, standings, _ := play(t, open(t), "0,a,,1 600,a,,0 900,a,,1 0,b,,1", 14400)
	wantSlots(t, standings, "a 131 good 5 bad 104 unknown 0 open", "b 121 good 0 bad 119 unknown 0 open")
}

func TestASecondFileGoesOnWhereTheFirstEnded(t *testing.T) {
	led := open(t)
	play(t, led, "0,a,1, 119,a,1,", 0)
	pl, standings, _ := play(t, led, "119,a,0, 120,a,1, 180,a,0,", 0)
	wantSlots(t, standings, "a 3 good 1 bad 0 unknown 0 open")
	if pl.Old != 1 {
		t.Errorf("%d samples left out, want the one that the ledger has passed", pl.Old)
	}
}

func TestDataBeyondItsEndIsRefused(t *testing.T) {
	p, err := replay.New(t.Context(), replay.Options{Rules: rules(upStream()), Ledger: open(t)})
	must(t, err)
	pl := replay.NewPlayer(p, &rows.Table{Series: make([]rows.Series, 1)})
	must(t, pl.Play(&list{{Time: epoch}}))
	if _, err := pl.End(epoch - 1); err == nil {
		t.Error("the replay ended before its data")
	}
}

// list is a list of points.
type list []rows.Point

func (l *list) Next() (p rows.Point, ok bool, err error) {
	if len(*l) == 0 {
		return p, false, nil
	}
	p, *l = (*l)[0], (*l)[1:]
	return p, true, nil
}

func TestObjectivesThatSeeNothing(t *testing.T) {
	m, err := rows.Parse("m.yaml", []byte(table))
	must(t, err)
	if got := replay.Unfed(rules(upStream()), m); len(got) != 0 {
		t.Errorf("%v", got)
	}
	classic, err := rows.Parse("m.yaml", []byte("apiVersion: nines/v1\nkind: Mapping\nspec:\n  time: {column: at, format: unix}\n"+
		"  labels: {le: bound}\n  values:\n    - {column: n, series: up_bucket, kind: counter}\n"))
	must(t, err)
	if got := replay.Unfed(rules(upStream()), classic); len(got) != 0 {
		t.Errorf("a classic histogram: %v", got)
	}
	got := strings.Join(replay.Unfed(rules(probes(), requests()), m), "\n")
	for _, want := range []string{"objective-0 counts probe_success, which the mapping does not make; it makes up", "objective-1 counts errors_total"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nwant %q", got, want)
		}
	}
}

// Attainment by day follows the objective's budgeting.
func TestFormulas(t *testing.T) {
	sums := replay.Sum{Totals: ledger.Totals{Good: 90, Total: 100, GoodSlots: 3, BadSlots: 1, UnknownSlots: 7}}
	f := func(budgeting string, want sla.Ratio) {
		t.Helper()
		if got := sums.Attainment(&slo.Objective{Budgeting: budgeting}); got.Cmp(want) != 0 {
			t.Errorf("%s: %v, want %v", budgeting, got, want)
		}
	}
	f("Occurrences", sla.Ratio{Num: 9, Den: 10})
	f(slo.Timeslices, sla.Ratio{Num: 3, Den: 4})
}
