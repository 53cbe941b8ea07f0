package telemetry

import "strings"

// MetricName joins a measurement and its field as Telegraf's Prometheus output
// does, so that the same input has one name whoever ran it. A field named
// "value" is left out, and so is a measurement named "prometheus", under which
// Telegraf keeps what it scraped; what Prometheus does not allow in a name
// becomes an underscore.
func MetricName(measurement, field string) string {
	name := measurement
	switch {
	case measurement == "prometheus":
		name = field
	case field != "value":
		name += "_" + field
	}
	return sanitize(name, true)
}

// LabelName makes a tag's key a valid label name, "" where nothing of it is.
func LabelName(key string) string { return sanitize(key, false) }

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
