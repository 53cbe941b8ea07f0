package wire

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"nines/internal/alert"
)

func TestDescribe(t *testing.T) {
	var e Encoder
	marshal := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	typed := func(typ string) []Header { return []Header{{HeaderType, []byte(typ)}} }
	firing := alert.Alert{Status: alert.Firing, Labels: map[string]string{"alertname": "TargetDown", "severity": "page"},
		Annotations: map[string]string{"summary": "10.0.0.7 is down"}, StartsAt: 1767225600000, LogTime: 1767225601000, Source: "evaluate/0", Offset: 7}
	resolved := firing
	resolved.Status, resolved.EndsAt = alert.Resolved, 1767225700000
	dead := DeadLetter{Topic: TopicTelemetry, Partition: 1, Offset: 99, Reason: "frame", Detail: "decode frame: magic at byte 0: record is of another kind"}

	var text, docs strings.Builder
	cache := NewSchemaCache(0)
	f := func(topic, key string, value []byte, headers []Header) {
		t.Helper()
		s, doc, err := Describe(topic, []byte(key), value, headers, cache)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(s + "\n\n")
		e := json.NewEncoder(&docs)
		e.SetIndent("", " ")
		if err := e.Encode(doc); err != nil {
			t.Fatal(err)
		}
	}
	f(TopicTelemetry, "", e.AppendFrame(nil, hostFrame(), nil), nil) // before its definition came
	f(TopicTelemetry, "", e.AppendFrame(nil, hostFrame(), all), typed(TypeFrame))
	f(TopicTelemetry, "", e.AppendFrame(nil, minuteFrame(), nil), nil)
	f(TopicTelemetry, "", AppendTick(nil, goldenTick()), nil)
	f(TopicTelemetry, "", []byte("cpu,host=web-1 usage_idle=99.1 1767225600000000000"), nil)
	f(TopicTelemetry, "", bytes.Repeat([]byte{0, 1, 2, 3}, 200), nil)
	f(TopicPartials, "", AppendPartial(nil, secondPartial()), typed(TypePartial))
	f(TopicCheckpoints, "3/0/0", SplitCheckpoint(3, 8, []byte("state"))[0], typed(TypeCheckpoint))
	f(TopicRules, "8899aabbccddeeff", []byte(`{"streams":{},"objectives":[{"name":"api <p99>"}]}`), typed(TypeRuleSet))
	f(TopicRules, "current", []byte("8899aabbccddeeff"), nil)
	f(TopicAlerts, firing.Key(), marshal(firing), typed(TypeAlert))
	f(TopicAlerts, firing.Key(), marshal(resolved), nil)
	f(TopicAlerts, "heartbeat/evaluate/0", marshal(alert.Alert{Status: alert.Heartbeat, Source: "evaluate/0", LogTime: 1767225601000, Offset: 8}), nil)
	f(TopicAlerts, firing.Key(), nil, nil)
	f(TopicDeadLetter, "", []byte("{\"no\":\"frame\"}"), dead.Headers())
	f(TopicDeadLetter, "", nil, (&Reinjection{Letter: 7, Topic: "telegraf", Partition: 1, Offset: -1}).Headers())
	f(TopicDeadLetter, "", nil, (&Reinjection{Letter: 7, Topic: "telegraf", Partition: 1, Offset: 120}).Headers())
	golden(t, "describe.txt", []byte(text.String()))
	golden(t, "describe.json", []byte(docs.String()))
}

func TestDescribeReportsWhatItCannotRead(t *testing.T) {
	f := func(topic string, value string, typ string) {
		t.Helper()
		if _, _, err := Describe(topic, nil, []byte(value), []Header{{HeaderType, []byte(typ)}}, NewSchemaCache(0)); err == nil {
			t.Errorf("%s %q: no error", topic, value)
		}
	}
	f(TopicTelemetry, "\xf9\x01", TypeFrame)
	f(TopicTelemetry, "\xfa\x01", TypeTick)
	f(TopicPartials, "\xfb\x01", TypePartial)
	f(TopicCheckpoints, "\xfc\x01", TypeCheckpoint)
	f(TopicAlerts, "{", TypeAlert)
	f(TopicDeadLetter, "x", TypeDeadLetter)
}

func TestNumbersThatJSONLacks(t *testing.T) {
	f := func(v float64, want string) {
		t.Helper()
		if b, err := json.Marshal(number(v)); err != nil || string(b) != want {
			t.Errorf("%v: %s, %v; want %s", v, b, err, want)
		}
	}
	f(1.5, "1.5")
	f(math.NaN(), `"NaN"`)
	f(math.Inf(1), `"+Inf"`)
	f(math.Inf(-1), `"-Inf"`)
}
