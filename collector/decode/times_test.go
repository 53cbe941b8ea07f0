package decode

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// What is remembered of times: never is a repeat taken for news, and what is
// forgotten is older than what is not.
func TestTimesAreNewOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ts Times
		had := map[int64]bool{}
		at := rapid.Int64Range(-1e15, 1e15).Draw(t, "start")
		newest, forgotten := int64(math.MinInt64), int64(math.MinInt64)
		for range rapid.IntRange(1, 200).Draw(t, "times") {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				at -= rapid.Int64Range(0, 100).Draw(t, "back")
			case 1:
				at += rapid.Int64Range(0, 50).Draw(t, "jitter")
			default:
				at += 10
			}
			is := ts.Add(at)
			switch {
			case had[at] && is == TimeNew:
				t.Fatalf("%d is new again: %+v", at, ts)
			case !had[at] && is == TimeRepeated:
				t.Fatalf("%d is a repeat: %+v", at, ts)
			case is == TimeForgotten && at >= newest:
				t.Fatalf("%d is forgotten, and nothing is newer: %+v", at, ts)
			case is == TimeNew && at <= forgotten:
				t.Fatalf("%d is new, and %d was forgotten: %+v", at, forgotten, ts)
			}
			if is == TimeForgotten {
				forgotten = max(forgotten, at)
			} else {
				had[at], newest = true, max(newest, at)
			}
			if len(ts.Runs) > maxRuns {
				t.Fatalf("%d runs", len(ts.Runs))
			}
		}
	})
}

func TestTimesAtAnIntervalAreNeverForgotten(t *testing.T) {
	var ts Times
	for i := range int64(100_000) {
		if ts.Add(i*10) != TimeNew {
			t.Fatalf("%d is not new", i*10)
		}
	}
	for i := range int64(1000) {
		if ts.Add(i*10) != TimeRepeated {
			t.Fatalf("%d is no repeat", i*10)
		}
	}
	if len(ts.Runs) != 1 {
		t.Errorf("%d runs", len(ts.Runs))
	}
}
