package web

import (
	"net/url"
	"strconv"
	"strings"

	"nines/internal/wire"
)

const (
	minuteMs = int64(60_000)
	hourMs   = 60 * minuteMs
	dayMs    = 24 * hourMs
	// defaultSpan is the range of a query that names none.
	defaultSpan = 6 * hourMs
	// maxSpan is the longest range of a query: the ledger keeps 13 months.
	maxSpan = 400 * dayMs
	// maxTime bounds times so that sums of them cannot overflow.
	maxTime = int64(1) << 52
	// maxItems bounds the slots or points of one answer.
	maxItems = 100_000
	// wantedPoints is how many points a plot is given unless it asks otherwise.
	wantedPoints = 240
)

// groupID writes a group's key as the API does: stream and labels hash, both
// 16 hex digits.
func groupID(k wire.GroupKey) string {
	h := strconv.FormatUint(k.Labels, 16)
	return k.Stream + "-" + strings.Repeat("0", 16-len(h)) + h
}

func parseGroupID(s string) (wire.GroupKey, error) {
	stream, labels, ok := strings.Cut(s, "-")
	if ok && len(stream) == 16 && len(labels) == 16 && isHex(stream) && isHex(labels) {
		if h, err := strconv.ParseUint(labels, 16, 64); err == nil {
			return wire.GroupKey{Stream: stream, Labels: h}, nil
		}
	}
	if s == "" {
		return wire.GroupKey{}, badRequest("name a group: ?group=ID, with an id that /api/nines/v1/objectives gives")
	}
	return wire.GroupKey{}, badRequest("group %s is no id: take one that /api/nines/v1/objectives gives", quoteShort(s))
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// timeRange reads from and to, Unix milliseconds; without them it is the span
// before now.
func timeRange(q url.Values, now, span int64) (from, to int64, err error) {
	if to, err = millis(q, "to", now); err != nil {
		return 0, 0, err
	}
	if from, err = millis(q, "from", to-span); err != nil {
		return 0, 0, err
	}
	if from >= to {
		return 0, 0, badRequest("from=%d is not before to=%d: both are Unix milliseconds, to is exclusive", from, to)
	}
	if to-from > maxSpan {
		return 0, 0, badRequest("the range is %d days long: ask for at most %d", (to-from)/dayMs, maxSpan/dayMs)
	}
	return from, to, nil
}

func millis(q url.Values, name string, absent int64) (int64, error) {
	text := q.Get(name)
	if text == "" {
		return absent, nil
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < -maxTime || v > maxTime {
		return 0, badRequest("%s=%s is no time: give Unix milliseconds", name, quoteShort(text))
	}
	return v, nil
}

// niceSteps are the steps of plots, in milliseconds.
var niceSteps = []int64{1000, 2000, 5000, 10_000, 15_000, 30_000, minuteMs, 2 * minuteMs, 5 * minuteMs, 10 * minuteMs, 15 * minuteMs,
	30 * minuteMs, hourMs, 2 * hourMs, 3 * hourMs, 6 * hourMs, 12 * hourMs, dayMs, 2 * dayMs, 7 * dayMs}

// stepFor returns the least nice step that gives a span at most wantedPoints
// points, not below least, and a multiple of it.
func stepFor(span, least int64) int64 {
	for _, s := range niceSteps {
		if s >= least && s%least == 0 && span/s <= wantedPoints {
			return s
		}
	}
	return max(1, (span/wantedPoints+least-1)/least) * least
}

// floorTo rounds t down to a multiple of step, below zero too.
func floorTo(t, step int64) int64 {
	r := t % step
	if r < 0 {
		r += step
	}
	return t - r
}

func ceilTo(t, step int64) int64 { return floorTo(t+step-1, step) }
