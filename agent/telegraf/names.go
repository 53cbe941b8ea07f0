package telegraf

import "nines/internal/telemetry"

// labelsOf turns tags into labels. The tag host is dropped: the host's labels
// are in the frame's header.
func labelsOf(tags map[string]string) telemetry.Labels {
	m := make(map[string]string, len(tags))
	for k, v := range tags {
		if k == "host" {
			continue
		}
		if n := telemetry.LabelName(k); n != "" {
			m[n] = v
		}
	}
	return telemetry.NewLabels(m)
}
