package wire

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nines/internal/hist"
	"nines/internal/telemetry"
)

// The examples of docs/wire.md, by the names of their code blocks.

func docFrame() *telemetry.Frame {
	tcp := telemetry.Labels{{Name: "probe", Value: "tcp"}, {Name: "target", Value: "db"}}
	s := telemetry.NewSchema([]telemetry.Series{
		{Name: "mem_free", Kind: telemetry.Gauge},
		{Name: "net_bytes_recv", Labels: telemetry.Labels{{Name: "interface", Value: "eth0"}}, Kind: telemetry.Counter},
		{Name: "probe_latency_seconds", Labels: tcp, Kind: telemetry.Gauge},
		{Name: "probe_rtt_seconds", Labels: tcp, Kind: telemetry.Histogram},
		{Name: "system_load1", Kind: telemetry.Gauge},
	})
	b := telemetry.Block{
		Fingerprint: s.Fingerprint, Schema: s, Columns: 5, Times: []int64{1767225600250},
		Values: []float64{3 << 30, 123456, 0.001234567, 0, 0.59},
		Hists:  []*hist.Histogram{nil, nil, nil, observed(0.0012, 0.0013, 0.0013), nil},
	}
	return &telemetry.Frame{
		Agent: "web-1", Boot: 0x0123456789abcdef, Seq: 42, SendTime: 1767225600300,
		Host:   telemetry.Labels{{Name: "host", Value: "web-1"}, {Name: "zone", Value: "a"}},
		Blocks: []telemetry.Block{b},
	}
}

// docRounds is the block of three rounds of two series.
func docRounds() *telemetry.Frame {
	s := telemetry.NewSchema([]telemetry.Series{
		{Name: "cpu", Kind: telemetry.Gauge}, {Name: "mem_total", Kind: telemetry.Gauge}, {Name: "net", Kind: telemetry.Counter},
	})
	b := telemetry.Block{
		Fingerprint: s.Fingerprint, Schema: s, Columns: 3, Times: []int64{1000, 2000, 3001},
		Values: []float64{1.0 / 3, 2.5, 0, 1 << 30, 1 << 30, 1 << 30, 500000, 500100, 500150},
	}
	b.SetAbsent(2)
	return &telemetry.Frame{Agent: "a", Boot: 1, Seq: 2, SendTime: 3002, Blocks: []telemetry.Block{b}}
}

func docPartial() *Partial {
	db := GroupKey{Stream: "00112233445566ff", Labels: 0xfeedface}
	const bin = 1767225600000
	return &Partial{
		Source: 3, Sources: 12, Incarnation: 1, From: 1000, To: 1017, LogTime: bin + 1250, RuleSet: "8899aabbccddeeff",
		Groups: []GroupLabels{{db, telemetry.Labels{{Name: "target", Value: "db"}}}},
		Counts: []BinCount{
			{Group: db, Vantage: "web-1", Bin: bin, Good: 1, Total: 1, Newest: bin + 40},
			{Group: db, Vantage: "web-1", Bin: bin + 1000, Good: 0, Total: 1, Newest: bin + 1040},
		},
		Regions: []RegionSeen{{"eu", 4, bin + 1100}},
	}
}

func TestDocumentedBytesAreTheEncoders(t *testing.T) {
	var e Encoder
	examples := map[string][]byte{
		"frame":      e.AppendFrame(nil, docFrame(), all),
		"rounds":     e.AppendFrame(nil, docRounds(), nil),
		"tick":       AppendTick(nil, goldenTick()),
		"histogram":  observed(0, 0.0012, 0.0013, 0.0013).AppendBinary(nil),
		"partial":    AppendPartial(nil, docPartial()),
		"checkpoint": SplitCheckpoint(3, 8, []byte("state"))[0],
	}
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "wire.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range examples {
		got, ok := documented(t, string(doc), name)
		if !ok {
			t.Errorf("docs/wire.md has no block ```hex %s; the encoder writes\n%s", name, hex.Dump(want))
			continue
		}
		if string(got) != string(want) {
			t.Errorf("docs/wire.md says of %s\n%swhile the encoder writes\n%s", name, hex.Dump(got), hex.Dump(want))
		}
	}
}

// documented returns the bytes in the code block ```hex name: of each line what
// precedes the semicolon.
func documented(t *testing.T, doc, name string) ([]byte, bool) {
	t.Helper()
	_, rest, ok := strings.Cut(doc, "```hex "+name+"\n")
	if !ok {
		return nil, false
	}
	block, _, _ := strings.Cut(rest, "```")
	var digits strings.Builder
	for line := range strings.Lines(block) {
		bytes, _, _ := strings.Cut(line, ";")
		digits.WriteString(strings.Join(strings.Fields(bytes), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatalf("docs/wire.md, block %s: %v", name, err)
	}
	return b, true
}
