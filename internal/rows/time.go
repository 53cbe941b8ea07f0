package rows

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// perMilli returns how many units of a format whose times are numbers make a
// millisecond.
func perMilli(format string) (float64, bool) {
	switch format {
	case "unix":
		return 1e-3, true
	case "unix_ms":
		return 1, true
	case "unix_us":
		return 1e3, true
	case "unix_ns":
		return 1e6, true
	}
	return 0, false
}

const formatRFC3339 = "rfc3339"

// latest is the end of the year 9999, Unix milliseconds.
const latest = 253_402_300_799_999

// knownTime tells whether times can be read in the format.
func knownTime(format string) bool {
	if _, number := perMilli(format); number || format == "" || format == formatRFC3339 {
		return true
	}
	// A layout that knows year, month and day reads back what it writes.
	probe := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	back, err := time.Parse(format, probe.Format(format))
	return err == nil && back.Truncate(24*time.Hour).Equal(probe)
}

var (
	errTime  = errors.New("is no time of the format that spec.time.format says")
	errRange = errors.New("is a time before 1970 or after 9999; is spec.time.format right?")
)

// parseTime returns the time in Unix milliseconds.
func parseTime(text, format string, zone *time.Location) (int64, error) {
	text = strings.TrimSpace(text)
	var ms int64
	if per, number := perMilli(format); number {
		n, err := parseNumber(text, per)
		if err != nil {
			return 0, err
		}
		ms = n
	} else {
		layout := format
		if format == "" || format == formatRFC3339 {
			layout = time.RFC3339Nano
		}
		t, err := time.ParseInLocation(layout, text, zone)
		if err != nil {
			return 0, errTime
		}
		ms = t.UnixMilli()
	}
	if ms < 0 || ms > latest {
		return 0, errRange
	}
	return ms, nil
}

// parseNumber returns a number of units as milliseconds, exactly for whole ones.
func parseNumber(text string, perMilli float64) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if perMilli >= 1 {
			return n / int64(perMilli), nil
		}
		if n > latest/1000 || n < 0 {
			return 0, errRange
		}
		return n * 1000, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != f {
		return 0, errTime
	}
	f /= perMilli
	if f < 0 || f > latest {
		return 0, errRange
	}
	return int64(math.Round(f)), nil
}
