package rules

import (
	"strconv"
	"strings"
	"time"

	"nines/internal/slo"
	"nines/internal/yamlconf"
)

const dayMillis = int64(24 * 3_600_000)

// defaultWindow is the window of an SLO that declares none, which OpenSLO
// allows.
const defaultWindow = 30 * dayMillis

// shorthand is OpenSLO's way to write lengths: a number and m, h, d, w, M, Q or
// Y. Months count as 30 days, quarters as 90 and years as 365, where they are
// not those of a calendar.
var shorthand = map[byte]struct {
	unit   string
	length int64 // milliseconds
}{
	'm': {"minute", 60_000}, 'h': {"hour", 3_600_000}, 'd': {"day", dayMillis}, 'w': {"week", 7 * dayMillis},
	'M': {"month", 30 * dayMillis}, 'Q': {"quarter", 90 * dayMillis}, 'Y': {"year", 365 * dayMillis},
}

// parseShorthand reads 4w or 1M.
func parseShorthand(text string) (n int, unit byte, ok bool) {
	if text == "" {
		return 0, 0, false
	}
	unit = text[len(text)-1]
	n, err := strconv.Atoi(text[:len(text)-1])
	_, known := shorthand[unit]
	return n, unit, err == nil && known && n > 0 && n <= 1_000_000
}

// parseSlice reads a timeSliceWindow; a number alone is minutes.
func parseSlice(text string) (time.Duration, error) {
	if n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32); err == nil && n > 0 {
		return time.Duration(n) * time.Minute, nil
	}
	return yamlconf.ParseDuration(text)
}

// window reads the time window; 0 where it is refused.
func (c *compiler) window(s *document[sloSpec]) (int64, *slo.Calendar) {
	const at = "spec.timeWindow"
	if s.Spec.TimeWindow == nil {
		c.warn(s.doc, "spec", nil, "timeWindow is not declared: a rolling window of 30d is taken")
		return defaultWindow, nil
	}
	if len(s.Spec.TimeWindow) != 1 {
		c.fail(s.doc, at, nil, "want exactly one time window")
		return 0, nil
	}
	w := s.Spec.TimeWindow[0]
	if n, unit, ok := parseShorthand(w.Duration); ok && unit == 'm' && n < 60 {
		c.warn(s.doc, at+"[0].duration", w.Duration, "is %d minutes; months are written with M", n)
	}
	if w.IsRolling != nil && !*w.IsRolling || w.IsRolling == nil && w.Calendar != nil {
		return c.calendar(s.doc, at+"[0]", w)
	}
	if w.Calendar != nil {
		c.fail(s.doc, at+"[0].calendar", nil, "belongs to isRolling: false")
	}
	return c.rolling(s.doc, at+"[0]", w), nil
}

func (c *compiler) rolling(d *yamlconf.Doc, at string, w timeWindow) int64 {
	length, err := yamlconf.ParseDuration(w.Duration)
	if n, unit, ok := parseShorthand(w.Duration); ok {
		length, err = time.Duration(int64(n)*shorthand[unit].length)*time.Millisecond, nil
	}
	switch {
	case err != nil:
		c.fail(d, at+".duration", w.Duration, "%v", err)
		return 0
	case length < time.Minute || length > 90*24*time.Hour:
		c.fail(d, at+".duration", w.Duration, "want a rolling window from 1m to 90d")
		return 0
	}
	return length.Milliseconds()
}

func (c *compiler) calendar(d *yamlconf.Doc, at string, w timeWindow) (int64, *slo.Calendar) {
	n, short, ok := parseShorthand(w.Duration)
	unit := shorthand[short]
	length := int64(n) * unit.length
	switch {
	case !ok || length > 366*dayMillis:
		c.fail(d, at+".duration", w.Duration, "want a calendar window such as 1d, 1w, 1M, 1Q or 1Y, of 366 days at most")
		return 0, nil
	case w.Calendar == nil:
		c.fail(d, at+".calendar", nil, "is required with isRolling: false")
		return 0, nil
	}
	if _, err := loadZone(w.Calendar.TimeZone); err != nil {
		c.fail(d, at+".calendar.timeZone", w.Calendar.TimeZone, "%v", err)
		return 0, nil
	}
	start, err := time.Parse("2006-01-02 15:04:05", w.Calendar.StartTime)
	if err != nil || start.Year() < 1970 {
		c.fail(d, at+".calendar.startTime", w.Calendar.StartTime, "want a local time such as 2026-01-01 00:00:00")
		return 0, nil
	}
	// Equal periods are written alike: seven days are a week.
	switch {
	case short == 'd' && n%7 == 0:
		unit, n = shorthand['w'], n/7
	case short == 'M' && n%3 == 0:
		unit, n = shorthand['Q'], n/3
	}
	cal := &slo.Calendar{TimeZone: w.Calendar.TimeZone, Unit: unit.unit, Start: w.Calendar.StartTime}
	if n > 1 {
		cal.Count = n
	}
	return length, cal
}
