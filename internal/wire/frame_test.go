package wire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"nines/internal/telemetry"
)

func TestFrameComesBackBitByBit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e Encoder
		var d Decoder
		cache := NewSchemaCache(0)
		var got telemetry.Frame // reused, as a collector does
		for range 2 {
			f := anyFrame().Draw(t, "frame")
			b := e.AppendFrame([]byte("x"), f, all)[1:]
			if err := d.DecodeFrame(b, &got, cache); err != nil {
				t.Fatalf("decode: %v", err)
			}
			if s := diff(&got, f); s != "" {
				t.Fatal(s)
			}
			if again := e.AppendFrame(nil, &got, all); string(again) != string(b) {
				t.Fatalf("encoded again:\n%x, want\n%x", again, b)
			}
		}
	})
}

func TestFrameOfEverySpecialValue(t *testing.T) {
	var series []telemetry.Series
	for i := range specialValues {
		series = append(series, telemetry.Series{Name: fmt.Sprintf("m%d", i), Kind: telemetry.Gauge})
	}
	s := telemetry.NewSchema(series)
	var e Encoder
	for rounds := range 4 {
		b := telemetry.Block{Fingerprint: s.Fingerprint, Schema: s}
		for r := range rounds {
			b.Times = append(b.Times, int64(r)*1000)
		}
		for _, v := range specialValues {
			b.Values = append(b.Values, slices.Repeat([]float64{v}, rounds)...)
		}
		f := &telemetry.Frame{Agent: "a", Blocks: []telemetry.Block{b}}
		if d := diff(mustDecode(t, e.AppendFrame(nil, f, all), NewSchemaCache(0)), f); d != "" {
			t.Errorf("%d rounds: %s", rounds, d)
		}
	}
}

func TestVectorSizes(t *testing.T) {
	f := func(v float64, code byte, size int) {
		t.Helper()
		b := appendVector(nil, []float64{v}, nil, 0)
		if b[0] != code || len(b) != 1+size {
			t.Errorf("%v: code %d in %d bytes, want code %d in %d", v, b[0], len(b)-1, code, size)
		}
	}
	f(0, codeZero, 0)
	f(1, codeInt, 1)
	f(255, codeInt, 1)
	f(256, codeInt+1, 2)
	f(1<<48-1, codeInt+5, 6)
	f(1<<48, codeGeneral, 8)
	f(1<<53, codeRaw, 8)
	f(-1, codeGeneral, 2)
	f(1<<20, codeKibi, 2)    // a MiB
	f(16<<30, codeKibi+2, 4) // 16 GiB
	f(15<<30, codeKibi+1, 3) // just below 16 GiB
	f(1024, codeInt+1, 2)    // no shorter as 1 KiB: there is no code of one byte
	f(0.59, codeCenti1, 1)
	f(99.34, codeCenti2, 2)
	f(0.001234567, codeNano3, 3)
	f(0.123456789, codeGeneral, 5)
	f(-12.5, codeGeneral, 2)
	f(98.98989898989899, codeRaw, 8)
	f(math.Inf(1), codeRaw, 8)
	f(math.Copysign(0, -1), codeRaw, 8)
}

func TestDecimalIsExactAndShortest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.Int64Range(-1<<47, 1<<47).Draw(t, "m")
		k := rapid.IntRange(0, 9).Draw(t, "k")
		v := float64(m) / pow10[k]
		got, scale, ok := decimal(v)
		if v != 0 && (!ok || float64(got)/pow10[scale] != v || scale > k) {
			t.Fatalf("decimal(%v) = %d/10^%d, %v; drawn as %d/10^%d", v, got, scale, ok, m, k)
		}
		if v := anyValue().Draw(t, "v"); finite(v) {
			if m, k, ok := decimal(v); ok && (float64(m)/pow10[k] != v || k > 0 && m%10 == 0) {
				t.Fatalf("decimal(%v) = %d/10^%d", v, m, k)
			}
		}
	})
}

func TestBlockOfUnknownSchema(t *testing.T) {
	var e Encoder
	f := hostFrame()
	got := mustDecode(t, e.AppendFrame(nil, f, nil), NewSchemaCache(0))
	if s := diff(got, f); s != "" {
		t.Fatal(s)
	}
	b := got.Blocks[0]
	if b.Schema != nil || b.Columns != 9 || len(b.Values) != 0 || len(b.Times) != 1 {
		t.Errorf("block %+v, want 9 columns without schema and values", b)
	}
}

func TestDefinitionTeachesTheSchema(t *testing.T) {
	var e Encoder
	f := hostFrame()
	f.Blocks = append(f.Blocks, f.Blocks[0]) // the second block uses the first one's definition
	cache := NewSchemaCache(0)
	with := e.AppendFrame(nil, f, all)
	without := e.AppendFrame(nil, f, func(uint64) bool { return false })
	mustDecode(t, with, cache)
	if cache.Len() != 1 {
		t.Fatalf("%d schemas, want 1", cache.Len())
	}
	got := mustDecode(t, without, cache)
	if s := diff(got, f); s != "" {
		t.Error(s)
	}
	want := hostSchema()
	if s := got.Blocks[1].Schema; !slices.EqualFunc(s.Series, want.Series, func(a, b telemetry.Series) bool {
		return a.Name == b.Name && a.Kind == b.Kind && a.Fresh == b.Fresh && equalLabels(a.Labels, b.Labels)
	}) {
		t.Errorf("schema %+v, want %+v", s, want)
	}
	if n := len(with) - len(without); n > 260 {
		t.Errorf("definition of 9 series takes %d bytes: is it written twice?", n)
	}
}

// A definition under another schema's fingerprint would spoil every agent that
// shares it.
func TestDefinitionMustMatchItsFingerprint(t *testing.T) {
	var e Encoder
	f := hostFrame()
	f.Blocks[0].Fingerprint++
	cache := NewSchemaCache(0)
	var d Decoder
	err := d.DecodeFrame(e.AppendFrame(nil, f, all), &telemetry.Frame{}, cache)
	if !errors.Is(err, ErrCorrupt) || cache.Len() != 0 {
		t.Errorf("decode: %v with %d schemas, want corrupt and none", err, cache.Len())
	}
}

func TestMissingValuesAreAbsent(t *testing.T) {
	var e Encoder
	f := hostFrame()
	f.Blocks[0].Values = f.Blocks[0].Values[:4]
	f.Blocks[0].Hists = nil
	if s := diff(mustDecode(t, e.AppendFrame(nil, f, all), NewSchemaCache(0)), f); s != "" {
		t.Error(s)
	}
}

func TestRestampChangesTheSendTimeOnly(t *testing.T) {
	var e Encoder
	f := hostFrame()
	b := e.AppendFrame(nil, f, all)
	if err := RestampFrame(b, 77); err != nil {
		t.Fatal(err)
	}
	f.SendTime = 77
	if s := diff(mustDecode(t, b, NewSchemaCache(0)), f); s != "" {
		t.Error(s)
	}
	if err := RestampFrame(b[:9], 1); !errors.Is(err, ErrTruncated) {
		t.Errorf("restamp of 9 bytes: %v", err)
	}
	if err := RestampFrame(AppendTick(nil, &Tick{}), 1); !errors.Is(err, ErrMagic) {
		t.Errorf("restamp of a tick: %v", err)
	}
}

func TestHeaderAlone(t *testing.T) {
	var e Encoder
	var d Decoder
	f := hostFrame()
	got := *minuteFrame()
	if err := d.DecodeFrameHeader(e.AppendFrame(nil, f, all), &got); err != nil {
		t.Fatal(err)
	}
	f.Blocks = nil
	if s := diff(&got, f); s != "" {
		t.Error(s)
	}
}

func TestHostLabelsAreSharedBetweenFrames(t *testing.T) {
	var e Encoder
	var d Decoder
	var a, b telemetry.Frame
	raw := e.AppendFrame(nil, hostFrame(), nil)
	for _, f := range []*telemetry.Frame{&a, &b} {
		if err := d.DecodeFrameHeader(raw, f); err != nil {
			t.Fatal(err)
		}
	}
	if &a.Host[0] != &b.Host[0] {
		t.Error("host labels were decoded twice")
	}
	// More agents than a decoder remembers neither grow it nor confuse it.
	f := hostFrame()
	for i := range 3 * maxIdentities {
		f.Agent = fmt.Sprint("agent-", i)
		if err := d.DecodeFrameHeader(e.AppendFrame(nil, f, nil), &a); err != nil || a.Agent != f.Agent || a.Host.Get("host") != "web-1" {
			t.Fatalf("agent %d: %v %+v", i, err, a)
		}
	}
	if n := len(d.senders.young) + len(d.senders.old); n > maxIdentities {
		t.Errorf("%d identities remembered, want at most %d", n, maxIdentities)
	}
}

func TestErrorsNameTheByte(t *testing.T) {
	var e Encoder
	frame := e.AppendFrame(nil, hostFrame(), all)
	f := func(change func(b []byte) []byte, want error, text string) {
		t.Helper()
		var d Decoder
		err := d.DecodeFrame(change(slices.Clone(frame)), &telemetry.Frame{}, NewSchemaCache(0))
		if !errors.Is(err, want) || err.Error() != text {
			t.Errorf("got %v, want %q", err, text)
		}
		var at *Error
		if !errors.As(err, &at) {
			t.Errorf("%v is no *Error", err)
		}
	}
	f(func(b []byte) []byte { return nil }, ErrTruncated, "decode frame: magic at byte 0: record is truncated")
	f(func(b []byte) []byte { b[0] = '{'; return b }, ErrMagic, "decode frame: magic at byte 0: record is of another kind")
	f(func(b []byte) []byte { b[1] = 9; return b }, ErrVersion, "decode frame: version 9 (this release reads 1) at byte 1: record has a version that this release does not know: upgrade this program")
	f(func(b []byte) []byte { b[1] = 0; return b }, ErrRetired, "decode frame: version 0 (this release reads 1) at byte 1: record has a version that this release no longer reads")
	f(func(b []byte) []byte { return b[:12] }, ErrTruncated, "decode frame: header at byte 2: record is truncated")
	f(func(b []byte) []byte { b[20] = 200; return b }, ErrTruncated, "decode frame: agent at byte 20: record is truncated")
	f(func(b []byte) []byte { return append(b, 0) }, ErrCorrupt, fmt.Sprintf("decode frame: end at byte %d: record is corrupt", len(frame)))
}

func TestEveryPrefixIsAnError(t *testing.T) {
	var e Encoder
	var d Decoder
	for _, f := range []*telemetry.Frame{hostFrame(), minuteFrame()} {
		b := e.AppendFrame(nil, f, all)
		for n := range b {
			if err := d.DecodeFrame(b[:n:n], &telemetry.Frame{}, NewSchemaCache(0)); err == nil {
				t.Errorf("%d of %d bytes decode", n, len(b))
			}
		}
	}
}

// A few bytes that announce much must not be believed.
func TestHostileCountsAllocateLittle(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	start := func() []byte {
		b := append([]byte{MagicFrame, versionFrame}, make([]byte, 16)...)
		return append(b, 1, 2, 1, 'a', 0) // sequence, identity
	}
	f := func(name string, b []byte) {
		t.Helper()
		var d Decoder
		var frame telemetry.Frame
		s := hostSchema()
		cache := NewSchemaCache(0)
		cache.Add(s)
		if err := d.DecodeFrame(b, &frame, cache); err == nil {
			t.Errorf("%s decodes", name)
		}
		if n := cap(frame.Blocks) + len(frame.Blocks); n > 100 {
			t.Errorf("%s: room for %d blocks", name, n)
		}
	}
	block := append([]byte{blockRounds}, make([]byte, 8)...)
	f("blocks", append(start(), huge...))
	f("times", append(append(append(start(), 1), block...), huge...))
	f("columns", append(append(append(start(), 1), append(block, 1, 0)...), huge...))
	f("definition", append(append(append(start(), 1, blockDefinition), make([]byte, 8)...), append([]byte{5}, huge...)...))
}

func TestSchemaTextIsBounded(t *testing.T) {
	name := make([]byte, 60_000)
	for i := range name {
		name[i] = 'a'
	}
	series := make([]telemetry.Series, 100)
	for i := range series {
		series[i] = telemetry.Series{Name: string(name), Kind: telemetry.Gauge}
	}
	if _, _, err := DecodeSchema(AppendSchema(nil, telemetry.NewSchema(series))); !errors.Is(err, ErrLimit) {
		t.Errorf("100 names of 60 kB: %v, want a limit", err)
	}
}

func TestSteadyFramesDecodeWithoutAllocation(t *testing.T) {
	var e Encoder
	var d Decoder
	var f telemetry.Frame
	cache := NewSchemaCache(0)
	one := e.AppendFrame(nil, hostFrame(), all)
	two := e.AppendFrame(nil, minuteFrame(), nil)
	decode := func() {
		for _, b := range [][]byte{one, two} {
			if err := d.DecodeFrame(b, &f, cache); err != nil {
				t.Fatal(err)
			}
		}
	}
	decode()
	if n := testing.AllocsPerRun(100, decode); n != 0 {
		t.Errorf("%v allocations a pair of frames, want 0", n)
	}
	buf := make([]byte, 0, 4096)
	frame := hostFrame()
	if n := testing.AllocsPerRun(100, func() { buf = e.AppendFrame(buf[:0], frame, nil) }); n != 0 {
		t.Errorf("%v allocations to encode, want 0", n)
	}
}

func TestSchemaCacheForgetsTheLongestUnused(t *testing.T) {
	c := NewSchemaCache(4)
	schema := func(i int) *telemetry.Schema {
		return telemetry.NewSchema([]telemetry.Series{{Name: fmt.Sprint("m", i), Kind: telemetry.Gauge}})
	}
	kept := schema(0)
	for i := range 100 {
		c.Add(schema(i))
		if c.Lookup(kept.Fingerprint) == nil {
			t.Fatalf("forgot a schema in use after %d others", i)
		}
		if c.Len() > 4 {
			t.Fatalf("holds %d schemas", c.Len())
		}
	}
	if c.Lookup(schema(5).Fingerprint) != nil {
		t.Error("kept a schema long unused")
	}
	if all := c.All(); !slices.IsSortedFunc(all, func(a, b *telemetry.Schema) int { return cmpFingerprint(a, b) }) {
		t.Errorf("not in order: %v", all)
	}
}

func cmpFingerprint(a, b *telemetry.Schema) int {
	if a.Fingerprint < b.Fingerprint {
		return -1
	}
	return 1
}

func TestFrameGolden(t *testing.T) {
	var e Encoder
	for name, f := range map[string]*telemetry.Frame{"frame_one_round": hostFrame(), "frame_three_rounds": minuteFrame()} {
		b := e.AppendFrame(nil, f, all)
		golden(t, name+".hex", []byte(hex.Dump(b)))
		if s := diff(mustDecode(t, b, NewSchemaCache(0)), f); s != "" {
			t.Errorf("%s: %s", name, s)
		}
	}
}
