package telegraf

import (
	"strings"

	"nines/internal/telemetry"
)

// metricName joins measurement and field as Telegraf's Prometheus output does.
// A field named "value" is left out, and what Prometheus does not allow in a
// name becomes an underscore.
func metricName(measurement, field string) string {
	name := measurement
	if field != "value" {
		name += "_" + field
	}
	return sanitize(name, true)
}

// labelName makes a tag's key a valid label name.
func labelName(key string) string { return sanitize(key, false) }

func sanitize(s string, colon bool) string {
	ok := func(i int, c byte) bool {
		return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' ||
			i > 0 && '0' <= c && c <= '9' || colon && c == ':'
	}
	clean := s != ""
	for i := range len(s) {
		clean = clean && ok(i, s[i])
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if r < 0x80 && ok(i, byte(r)) {
			b.WriteByte(byte(r))
		} else if i > 0 {
			b.WriteByte('_')
		}
	}
	name := strings.Trim(b.String(), "_")
	if name != "" && name[0] >= '0' && name[0] <= '9' {
		return "_" + name
	}
	return name
}

// labelsOf turns tags into labels. The tag host is dropped: the host's labels
// are in the frame's header.
func labelsOf(tags map[string]string) telemetry.Labels {
	m := make(map[string]string, len(tags))
	for k, v := range tags {
		if k == "host" {
			continue
		}
		if n := labelName(k); n != "" {
			m[n] = v
		}
	}
	return telemetry.NewLabels(m)
}
