package aggregate

import (
	"strings"
	"testing"

	"nines/collector/decode"
)

// Regions' topics are for agents, nines' own for nobody else, all others for
// other fleets.
func TestTopicsAndTheirFormats(t *testing.T) {
	f := func(topic, name string, want decode.Format, wantErr string) {
		t.Helper()
		formats, bad := ParseFormats(map[string]string{topic: name})
		if err := bad[topic]; wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), wantErr) {
				t.Errorf("%s: %s: got %v", topic, name, err)
			}
			return
		}
		if got, ok := formats[topic]; !ok || got != want || bad[topic] != nil {
			t.Errorf("%s: %s: got %v, %v", topic, name, got, bad)
		}
	}
	f("nines.telemetry.eu-de", OwnFormat, 0, "")
	f("nines.telemetry", "influx", decode.Influx, "")
	f("telegraf", "otlp", decode.OTLP, "")
	f("nines.telemetry.eu-de", "influx", 0, "the topic is for agents of a region: must be nines")
	f("nines.telemetry", OwnFormat, 0, "agents write to nines.telemetry")
	f("telegraf", OwnFormat, 0, "agents write to nines.telemetry")
	f("nines.telemetry.", OwnFormat, 0, "nines' own")
	f("nines.alerts", "influx", 0, "nines' own")
	f("telegraf", "graphite", 0, "must be one of")

	formats, _ := ParseFormats(map[string]string{"nines.telemetry.eu-nl": OwnFormat, "nines.telemetry.eu-de": OwnFormat})
	got := strings.Join(decode.Topics(formats), " ")
	if want := "nines.telemetry nines.telemetry.eu-de nines.telemetry.eu-nl"; got != want {
		t.Errorf("aggregated: %s", got)
	}
}
