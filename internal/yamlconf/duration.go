package yamlconf

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time in configuration: 250ms, 5s, 1m30s, 1h, 28d, 1w.
type Duration time.Duration

// D returns the duration as the standard library's.
func (d Duration) D() time.Duration { return time.Duration(d) }

// Milliseconds returns the duration in whole milliseconds.
func (d Duration) Milliseconds() int64 { return time.Duration(d).Milliseconds() }

// units, the longest first. There are no months or years: they have no fixed
// length.
var units = []struct {
	name   string
	length time.Duration
}{
	{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second},
	{"ms", time.Millisecond}, {"us", time.Microsecond}, {"µs", time.Microsecond}, {"ns", time.Nanosecond},
}

// ParseDuration parses what Duration accepts: numbers with units w, d, h, m, s,
// ms, us, ns; 0 needs no unit; a sign is allowed in front.
func ParseDuration(s string) (time.Duration, error) {
	rest, negative := strings.CutPrefix(s, "-")
	if rest == "0" {
		return 0, nil
	}
	total := 0.0
	exact := int64(0)
	if rest == "" {
		return 0, fmt.Errorf("want a duration such as 5s, 1m30s or 28d")
	}
	for rest != "" {
		end := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if end <= 0 {
			return 0, fmt.Errorf("want a duration such as 5s, 1m30s or 28d")
		}
		digits := rest[:end]
		rest = rest[end:]
		end = strings.IndexFunc(rest, func(r rune) bool { return r >= '0' && r <= '9' })
		if end < 0 {
			end = len(rest)
		}
		unit := time.Duration(0)
		for _, u := range units {
			if u.name == rest[:end] {
				unit = u.length
			}
		}
		if unit == 0 {
			return 0, fmt.Errorf("unknown unit %q of time; use w, d, h, m, s or ms", rest[:end])
		}
		rest = rest[end:]
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			return 0, fmt.Errorf("want a duration such as 5s, 1m30s or 28d")
		}
		total += f * float64(unit)
		if i, err := strconv.ParseInt(digits, 10, 64); err == nil {
			exact += i * int64(unit)
		} else {
			exact += int64(math.Round(f * float64(unit)))
		}
	}
	if total > math.MaxInt64/2 {
		return 0, fmt.Errorf("is longer than 146 years")
	}
	if negative {
		exact = -exact
	}
	return time.Duration(exact), nil
}

// UnmarshalText parses the duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// MarshalText returns what String returns.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String returns the duration in the same syntax, in the longest units that fit:
// 28d, 1m30s, 250ms. Weeks are printed as days.
func (d Duration) String() string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	left := uint64(d)
	if d < 0 {
		b.WriteByte('-')
		left = -left
	}
	for _, u := range units[1:] {
		if n := left / uint64(u.length); n > 0 && u.name != "µs" {
			b.WriteString(strconv.FormatUint(n, 10) + u.name)
			left -= n * uint64(u.length)
		}
	}
	return b.String()
}
