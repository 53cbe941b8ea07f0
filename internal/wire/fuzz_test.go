package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"nines/internal/telemetry"
)

func FuzzDecodeFrame(f *testing.F) {
	var e Encoder
	f.Add(e.AppendFrame(nil, hostFrame(), all))
	f.Add(e.AppendFrame(nil, hostFrame(), nil))
	f.Add(e.AppendFrame(nil, minuteFrame(), all))
	f.Add(e.AppendFrame(nil, &telemetry.Frame{Agent: "a"}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Decoder
		var e Encoder
		var frame, again telemetry.Frame
		cache := NewSchemaCache(0)
		cache.Add(hostSchema())
		err := d.DecodeFrame(b, &frame, cache)
		sameUnread(t, b, &frame, err)
		if err != nil {
			return
		}
		raw := e.AppendFrame(nil, &frame, all)
		if err := d.DecodeFrame(raw, &again, cache); err != nil {
			t.Fatalf("decode of what was encoded: %v", err)
		}
		// Blocks without schema lose their values and nothing else.
		for i := range frame.Blocks {
			if b := &frame.Blocks[i]; b.Schema != nil && len(b.Hists) > 0 != (b.Schema.Histograms() > 0 && len(b.Values) > 0) {
				t.Fatalf("block %d: %d histograms", i, len(b.Hists))
			}
		}
		if s := diff(&again, &frame); s != "" {
			t.Fatal(s)
		}
		if third := e.AppendFrame(nil, &again, all); !bytes.Equal(third, raw) {
			t.Fatalf("equal frames, other bytes:\n%x\n%x", third, raw)
		}
	})
}

// sameUnread checks that a frame whose values nobody needs is refused for the
// same reason, or has as many samples.
func sameUnread(t *testing.T, b []byte, frame *telemetry.Frame, err error) {
	t.Helper()
	d := Decoder{Unneeded: func(*telemetry.Schema) bool { return true }}
	var unread telemetry.Frame
	cache := NewSchemaCache(0)
	cache.Add(hostSchema())
	err2 := d.DecodeFrame(b, &unread, cache)
	if fmt.Sprint(err) != fmt.Sprint(err2) {
		t.Fatalf("read: %v; unread: %v", err, err2)
	}
	for i := range frame.Blocks {
		if read, got := &frame.Blocks[i], &unread.Blocks[i]; err == nil && read.Samples() != got.Samples() {
			t.Fatalf("block %d: %d samples, unread %d", i, read.Samples(), got.Samples())
		}
	}
}

func FuzzDecodeTick(f *testing.F) {
	f.Add(AppendTick(nil, goldenTick()))
	f.Add(AppendTick(nil, &Tick{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var tick, again Tick
		if DecodeTick(b, &tick) != nil {
			return
		}
		if err := DecodeTick(AppendTick(nil, &tick), &again); err != nil || again != tick {
			t.Fatalf("round trip: %+v, %v; want %+v", again, err, tick)
		}
	})
}

func FuzzDecodePartial(f *testing.F) {
	f.Add(AppendPartial(nil, secondPartial()))
	f.Add(AppendPartial(nil, &Partial{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p, again Partial
		if DecodePartial(b, &p) != nil {
			return
		}
		raw := AppendPartial(nil, &p)
		if err := DecodePartial(raw, &again); err != nil {
			t.Fatalf("decode of what was encoded: %v", err)
		}
		if third := AppendPartial(nil, &again); !bytes.Equal(third, raw) {
			t.Fatalf("equal partials, other bytes:\n%x\n%x", third, raw)
		}
	})
}

func FuzzDecodeCheckpoint(f *testing.F) {
	f.Add(SplitCheckpoint(3, 8, []byte("state"))[0])
	f.Fuzz(func(t *testing.T, b []byte) {
		var c, again Checkpoint
		var j CheckpointJoiner
		_ = j.Add(b)
		if DecodeCheckpoint(b, &c) != nil {
			return
		}
		if err := DecodeCheckpoint(AppendCheckpoint(nil, &c), &again); err != nil || again.Set != c.Set || !bytes.Equal(again.Payload, c.Payload) {
			t.Fatalf("round trip: %+v, %v; want %+v", again, err, c)
		}
	})
}

func FuzzDescribe(f *testing.F) {
	var e Encoder
	dead := DeadLetter{Topic: TopicTelemetry, Reason: "frame"}
	for _, typ := range []string{"", TypeFrame, TypeTick, TypePartial, TypeCheckpoint, TypeRuleSet, TypeRosterEntry, TypeAlert, TypeDeadLetter} {
		f.Add(typ, []byte(`{"status":"firing","labels":{"alertname":"a"}}`))
	}
	f.Add(TypeFrame, e.AppendFrame(nil, hostFrame(), all))
	f.Add(TypeFrame, e.AppendFrame(nil, minuteFrame(), all))
	f.Add(TypePartial, AppendPartial(nil, secondPartial()))
	f.Fuzz(func(t *testing.T, typ string, value []byte) {
		headers := append([]Header{{HeaderType, []byte(typ)}}, dead.Headers()...)
		text, doc, err := Describe(TopicTelemetry, nil, value, headers, NewSchemaCache(0))
		if err != nil {
			return
		}
		if _, err := json.Marshal(doc); err != nil || text == "" {
			t.Fatalf("%q: text %q, JSON %v", value, text, err)
		}
	})
}

func FuzzDecodeReinjection(f *testing.F) {
	f.Add("3", "telegraf", "0", "-1")
	f.Add("9223372036854775807", "", "2147483647", "x")
	f.Fuzz(func(t *testing.T, letter, topic, partition, offset string) {
		r, err := DecodeReinjection([]Header{{headerLetter, []byte(letter)}, {headerReTopic, []byte(topic)},
			{headerRePartition, []byte(partition)}, {headerReOffset, []byte(offset)}})
		if err != nil {
			return
		}
		if again, err := DecodeReinjection(r.Headers()); err != nil || again != r {
			t.Fatalf("round trip: %+v, %v; want %+v", again, err, r)
		}
	})
}
