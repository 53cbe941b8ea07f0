package slo

import (
	"testing"

	"pgregory.net/rapid"

	"nines/internal/sla"
)

type added struct{ at, good, total int64 }

// naive recomputes a window of length from everything added.
func naive(all []added, now, length int64) (good, total int64) {
	cell := cellFor(length)
	n := (length + cell - 1) / cell
	for _, a := range all {
		if c := a.at / cell; c <= now/cell && c > now/cell-n {
			good += a.good
			total += a.total
		}
	}
	return good, total
}

func TestWindowEqualsNaiveRecomputation(t *testing.T) {
	lengths := []int64{5 * minute, hour, 30 * minute, 6 * hour, 2 * hour, day, 3 * day, 7 * day, 30 * day, 90 * day, 90_000}
	l := NewLayout(lengths...)
	rapid.Check(t, func(t *rapid.T) {
		w := NewWindow(l)
		var all []added
		now := rapid.Int64Range(0, 400*day).Draw(t, "start")
		w.Advance(now)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			step := rapid.SampledFrom([]int64{1, 250, minute, 7 * minute, hour, 5 * hour, day, 40 * day, 100 * day}).Draw(t, "step")
			now += rapid.Int64Range(0, step).Draw(t, "advance")
			w.Advance(now)
			back := rapid.SampledFrom([]int64{0, minute, hour, 6 * hour, 3 * day, 30 * day, 120 * day}).Draw(t, "back")
			at := max(0, now-rapid.Int64Range(0, back).Draw(t, "late"))
			at -= at % minute
			total := rapid.SampledFrom([]int64{0, 1, 60, 3600, 70_000, 1 << 33}).Draw(t, "total")
			good := rapid.Int64Range(0, total).Draw(t, "good")
			w.Add(at, good, total)
			all = append(all, added{at, good, total})
			more := added{at: at}
			switch rapid.SampledFrom([]string{"", "the slot's bad ones turn good", "all of it is taken back"}).Draw(t, "restate") {
			case "":
				continue
			case "all of it is taken back":
				more.good, more.total = -good, -total
			default:
				more.good = total - good
			}
			w.Add(at, more.good, more.total)
			all = append(all, more)
		}
		restored, filled := NewWindow(l), NewWindow(l)
		var list []Added
		for _, a := range all {
			if a.at > now-l.Reach() {
				restored.Add(a.at, a.good, a.total)
				list = append(list, Added{a.at, a.good, a.total})
			}
		}
		restored.Advance(now)
		filled.Advance(now)
		half := rapid.IntRange(0, len(list)).Draw(t, "half")
		filled.AddAll(list[half:])
		filled.AddAll(list[:half])
		for _, length := range lengths {
			wantGood, wantTotal := naive(all, now, length)
			for name, win := range map[string]*Window{"running": &w, "restored": &restored, "filled": &filled} {
				good, total := win.Sum(length)
				if int64(good) != wantGood || int64(total) != wantTotal {
					t.Fatalf("%s window of %d min: got %d/%d, want %d/%d", name, length/minute, good, total, wantGood, wantTotal)
				}
			}
		}
	})
}

// A request counter that is restated all the time: cells go below zero and come
// back, grow beyond 32 bits, and are zero again in the end.
func TestWindowTakesBackWhatItHolds(t *testing.T) {
	lengths := []int64{minute, 5 * minute, hour, 6 * hour, 30 * day}
	rapid.Check(t, func(t *rapid.T) {
		w := NewWindow(NewLayout(lengths...))
		w.Advance(100 * day)
		var all []added
		for range rapid.IntRange(1, 40).Draw(t, "slots") {
			n := rapid.Int64Range(-1<<40, 1<<40).Draw(t, "n") >> rapid.IntRange(0, 40).Draw(t, "smaller")
			at := 100*day - rapid.Int64Range(0, 31*day).Draw(t, "ago")
			all = append(all, added{at, n - rapid.Int64Range(0, 3).Draw(t, "bad"), n})
		}
		for _, a := range all {
			w.Add(a.at, a.good, a.total)
		}
		for _, length := range lengths {
			wantGood, wantTotal := naive(all, w.Now(), length)
			if good, total := w.Sum(length); int64(good) != wantGood || int64(total) != wantTotal {
				t.Fatalf("%d min: got %d/%d, want %d/%d", length/minute, int64(good), int64(total), wantGood, wantTotal)
			}
		}
		for _, i := range rapid.Permutation(all).Draw(t, "order") {
			w.Add(i.at, -i.good, -i.total)
		}
		w.Advance(w.Now() + 1)
		if w.bad != nil || !w.total.empty(w.layout) {
			t.Fatalf("what was taken back is still there: bad %v, total %v", w.bad, w.total)
		}
	})
}

// Memory of windows with the default burn-rate rows after a month, of a group
// that counts steadily, one that lost a minute now and then, and one whose every
// minute counts another number of requests.
func TestWindowMemoryAfterAMonth(t *testing.T) {
	f := func(name string, most int, events func(minute int64) int64) {
		t.Helper()
		w := NewWindow(LayoutFor(&Objective{Window: 30 * day, Burn: BurnRows(30 * day)}))
		for at := int64(0); at < 31*day; at += minute {
			n := events(at / minute)
			w.Add(at, n, n)
		}
		if w.bad != nil || cap(w.total.b) > most {
			t.Errorf("%s: a window takes %d bytes, want at most %d", name, cap(w.total.b), most)
		}
	}
	f("probes", 112, func(int64) int64 { return 60 })
	f("probes with gaps", 208, func(m int64) int64 { return 60 - 60*(min(m%4003, 1)^1) })
	f("requests", 896, func(m int64) int64 { return 1000 + m*m%211 })
}

func TestWindowIsSmallForProbes(t *testing.T) {
	o := &Objective{Window: 30 * day, Burn: BurnRows(30 * day)}
	w := NewWindow(LayoutFor(o))
	for at := int64(0); at < 31*day; at += minute {
		w.Add(at, 60, 60)
	}
	if bytes := cap(w.total.b); bytes > 112 || w.bad != nil {
		t.Errorf("a window of one-second probes takes %d bytes, want at most 112 (bad: %v)", bytes, w.bad)
	}
	if good, total := w.Sum(30 * day); good != total || total > 30*86_400 || total < 30*86_400-6*3600 {
		t.Errorf("30 days hold %d/%d attempts", good, total)
	}
	if g, n := w.Sum(42); g != 0 || n != 0 {
		t.Errorf("a length that is not in the layout gives %d/%d", g, n)
	}
}

func TestBurnRowsScaleToThePeriod(t *testing.T) {
	f := func(days int64, want ...float64) {
		t.Helper()
		rows := BurnRows(days * day)
		if len(rows) != len(want) {
			t.Fatalf("%d days: %d rows, want %d", days, len(rows), len(want))
		}
		for i, r := range rows {
			if d := r.Factor - want[i]; d > 0.0005 || d < -0.0005 {
				t.Errorf("%d days, row %d: factor %v, want %v", days, i+1, r.Factor, want[i])
			}
			if r.Short*12 != r.Long {
				t.Errorf("row %d: short %d is not a twelfth of %d", i+1, r.Short, r.Long)
			}
		}
	}
	f(30, 14.4, 6, 3, 1)
	f(28, 13.44, 5.6, 2.8, 0.9333)
	f(1, 0.48, 0.2, 0.1)
}

func TestBurnHasNoNaN(t *testing.T) {
	target := sla.Ratio{Num: 999, Den: 1000}
	f := func(good, total uint64, target sla.Ratio, want float64) {
		t.Helper()
		if got := Burn(good, total, target); got < want*0.999999 || got > want*1.000001 {
			t.Errorf("Burn(%d/%d, %v) = %v, want %v", good, total, target, got, want)
		}
	}
	f(0, 0, target, 0)
	f(999, 1000, target, 1)
	f(0, 1000, target, 1000)
	f(5, 4, target, 0)
	f(1, 2, sla.Ratio{Num: 1, Den: 1}, 0.5e9)
	f(1, 2, sla.Ratio{}, 0.5e9)
	if got := BudgetLeft(9995, 10000, target); got < 0.4999 || got > 0.5001 {
		t.Errorf("half the budget spent leaves %v", got)
	}
	first := BurnRows(30 * day)[0]
	if !first.CanFire(target) || first.CanFire(sla.Ratio{Num: 93, Den: 100}) {
		t.Error("below 93.06 % the first row can never fire, above it can")
	}
}

func TestCalendarBounds(t *testing.T) {
	f := func(c Calendar, now string, start, end string) {
		t.Helper()
		s, e, err := c.Bounds(ms(t, now))
		if err != nil {
			t.Fatal(err)
		}
		if s != ms(t, start) || e != ms(t, end) {
			t.Errorf("%+v at %s: [%d, %d), want [%s, %s)", c, now, s, e, start, end)
		}
	}
	f(Calendar{TimeZone: "Europe/London", Unit: "month", Start: ""}, "2026-03-15T12:00:00Z", "2026-03-01T00:00:00Z", "2026-03-31T23:00:00Z")
	f(Calendar{TimeZone: "Europe/London", Unit: "day", Start: ""}, "2026-03-29T12:00:00Z", "2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z")
	f(Calendar{TimeZone: "UTC", Unit: "week", Start: ""}, "2026-11-05T00:00:00Z", "2026-11-02T00:00:00Z", "2026-11-09T00:00:00Z")
	f(Calendar{TimeZone: "UTC", Unit: "quarter", Start: ""}, "2026-11-05T00:00:00Z", "2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z")
	f(Calendar{TimeZone: "UTC", Unit: "year", Start: ""}, "1999-06-05T00:00:00Z", "1999-01-01T00:00:00Z", "2000-01-01T00:00:00Z")
	f(Calendar{TimeZone: "America/New_York", Unit: "week", Start: "2022-01-01 12:00:00"}, "2022-01-15T16:59:59Z", "2022-01-08T17:00:00Z", "2022-01-15T17:00:00Z")
	if _, _, err := (&Calendar{TimeZone: "Mars/Olympus", Unit: "day", Start: ""}).Bounds(0); err == nil {
		t.Error("an unknown time zone is accepted")
	}
	if _, _, err := (&Calendar{TimeZone: "UTC", Unit: "fortnight", Start: ""}).Bounds(0); err == nil {
		t.Error("an unknown unit is accepted")
	}
	var p PeriodSum
	c := &Calendar{TimeZone: "UTC", Unit: "day"}
	if err := p.Advance(c, day+5); err != nil {
		t.Fatal(err)
	}
	p.Add(day, 3, 4)
	p.Add(day-minute, 9, 9)
	if p.Good != 3 || p.Total != 4 {
		t.Errorf("the day holds %d/%d, want 3/4", p.Good, p.Total)
	}
	if err := p.Advance(c, 2*day); err != nil || p.Total != 0 {
		t.Errorf("the next day begins with %d (%v)", p.Total, err)
	}
}
