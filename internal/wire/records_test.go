package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"nines/internal/telemetry"
)

func anyID() *rapid.Generator[string] {
	return rapid.OneOf(rapid.StringMatching(`[0-9a-f]{16}`), rapid.StringMatching(`[0-9A-F]{16}`), rapid.StringN(0, 20, 40))
}

func anyPartial() *rapid.Generator[*Partial] {
	return rapid.Custom(func(t *rapid.T) *Partial {
		keys := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) GroupKey {
			return GroupKey{Stream: anyID().Draw(t, "stream"), Labels: rapid.Uint64().Draw(t, "labels")}
		}), 1, 5).Draw(t, "keys")
		key := rapid.SampledFrom(keys)
		ms := rapid.OneOf(rapid.Int64(), rapid.Int64Range(1767225600000, 1767225700000))
		name := rapid.StringN(0, 8, 20)
		list := func(read func()) {
			for range rapid.IntRange(0, 4).Draw(t, "n") {
				read()
			}
		}
		p := &Partial{
			Source: rapid.Int32().Draw(t, "source"), Sources: rapid.Int32().Draw(t, "sources"), Incarnation: rapid.Uint64().Draw(t, "incarnation"),
			From: rapid.Int64().Draw(t, "from"), To: rapid.Int64().Draw(t, "to"), LogTime: ms.Draw(t, "log time"), RuleSet: anyID().Draw(t, "rules"),
		}
		list(func() {
			p.Groups = append(p.Groups, GroupLabels{key.Draw(t, "key"), nonNil(anyLabels().Draw(t, "labels"))})
		})
		list(func() {
			c := BinCount{Group: key.Draw(t, "key"), Vantage: name.Draw(t, "vantage"), Bin: ms.Draw(t, "bin"), Good: rapid.Uint64().Draw(t, "good"), Total: rapid.Uint64().Draw(t, "total"), Newest: ms.Draw(t, "newest")}
			if rapid.Bool().Draw(t, "plain") {
				c.Total = c.Good
			} else {
				c.Blind = rapid.Uint64().Draw(t, "blind")
			}
			p.Counts = append(p.Counts, c)
		})
		list(func() {
			p.Sketches = append(p.Sketches, Sketch{key.Draw(t, "key"), ms.Draw(t, "slot"), *anyHist().Draw(t, "hist")})
		})
		list(func() {
			p.Unplaced = append(p.Unplaced, Unplaced{key.Draw(t, "key"), ms.Draw(t, "from"), ms.Draw(t, "to"), rapid.Uint64().Draw(t, "good"), rapid.Uint64().Draw(t, "total")})
		})
		list(func() {
			p.Gaps = append(p.Gaps, Gap{name.Draw(t, "agent"), rapid.Uint64().Draw(t, "boot"), rapid.Uint64().Draw(t, "first"), rapid.Uint64().Draw(t, "last"), ms.Draw(t, "from"), ms.Draw(t, "to"), ReasonLog})
		})
		list(func() {
			p.Regions = append(p.Regions, RegionSeen{name.Draw(t, "region"), rapid.Uint32().Draw(t, "frames"), ms.Draw(t, "newest")})
		})
		list(func() {
			p.Agents = append(p.Agents, AgentSeen{name.Draw(t, "agent"), rapid.Uint64().Draw(t, "boot"), nonNil(anyLabels().Draw(t, "host")), rapid.Uint64().Draw(t, "frames"), 1, 0, 99, ms.Draw(t, "newest"), rapid.Int64().Draw(t, "skew")})
		})
		return p
	})
}

// nonNil makes empty labels nil, as decoders return them.
func nonNil(ls telemetry.Labels) telemetry.Labels {
	if len(ls) == 0 {
		return nil
	}
	return ls
}

func TestPartialComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPartial().Draw(t, "partial")
		b := AppendPartial([]byte("x"), p)[1:]
		var got Partial
		if err := DecodePartial(b, &got); err != nil {
			t.Fatal(err)
		}
		again := AppendPartial(nil, &got)
		if !bytes.Equal(again, b) {
			t.Fatalf("encoded again:\n%x, want\n%x", again, b)
		}
		for i := range p.Sketches { // NaN sums and nil buckets are no DeepEqual
			if !got.Sketches[i].Hist.Equal(&p.Sketches[i].Hist) {
				t.Fatalf("sketch %d: %+v, want %+v", i, got.Sketches[i], p.Sketches[i])
			}
			got.Sketches[i].Hist = p.Sketches[i].Hist
		}
		p.Sketches, got.Sketches = nil, nil
		if !reflect.DeepEqual(&got, p) {
			t.Fatalf("decoded %+v, want %+v", got, p)
		}
	})
}

// minutePartial is what a stretch of a second adds: probes from two vantage
// points, one failing.
func secondPartial() *Partial {
	up := GroupKey{Stream: "00112233445566ff", Labels: 0xfeedface}
	down := GroupKey{Stream: "00112233445566ff", Labels: 0xdeadbeef}
	const bin = 1767225600000
	return &Partial{
		Source: 3, Sources: 12, Incarnation: 1, From: 1000, To: 1017, LogTime: bin + 1250, RuleSet: "8899aabbccddeeff",
		Groups: []GroupLabels{{down, telemetry.Labels{{Name: "region", Value: "eu-west"}, {Name: "target", Value: "10.0.0.7:443"}}}},
		Counts: []BinCount{
			{Group: down, Vantage: "web-1", Bin: bin, Good: 0, Total: 1, Newest: bin + 400},
			{Group: down, Vantage: "web-1", Bin: bin + 1000, Good: 0, Total: 1, Newest: bin + 1400},
			{Group: down, Vantage: "web-2", Bin: bin, Blind: 1, Newest: bin + 10},
			{Group: up, Vantage: "web-1", Bin: bin, Good: 1, Total: 1, Newest: bin + 500},
		},
		Sketches: []Sketch{{up, bin - 60000, *observed(0.001, 0.0011, 0.02)}},
		Unplaced: []Unplaced{{up, bin - 120000, bin - 1000, 118, 119}},
		Gaps:     []Gap{{"web-3", 7, 12, 13, bin - 3000, bin - 1000, ReasonSequence}},
		Regions:  []RegionSeen{{"eu-west", 4, bin + 1100}},
		Agents:   []AgentSeen{{"web-1", 0x0123456789abcdef, hostLabels, 15, 1500, 1, 42, bin + 1000, 12}},
	}
}

func TestPartialIsCompact(t *testing.T) {
	p := &Partial{RuleSet: "8899aabbccddeeff", LogTime: 1767225600250}
	for g := range 1000 {
		key := GroupKey{"00112233445566ff", uint64(g) * 0x9e3779b97f4a7c15}
		p.Counts = append(p.Counts, BinCount{Group: key, Vantage: "probe-1", Bin: 1767225600000, Good: 1, Total: 1, Newest: 1767225600123})
	}
	// A group's key takes 9 bytes, its count 4.
	if n := len(AppendPartial(nil, p)); n > 1000*13+80 {
		t.Errorf("1000 counts of new groups take %d bytes", n)
	}
}

// A partial of another form is refused by its version, whatever its bytes would
// mean here, and the error says which of both programs is the older one.
func TestPartialOfAnotherVersion(t *testing.T) {
	f := func(version byte, want error, text string) {
		t.Helper()
		b := AppendPartial(nil, secondPartial())
		b[1] = version
		if err := DecodePartial(b, &Partial{}); !errors.Is(err, want) || err.Error() != text {
			t.Errorf("version %d: got %v, want %q", version, err, text)
		}
	}
	f(versionPartial+1, ErrVersion, "decode partial: version 3 (this release reads 2) at byte 1: record has a version that this release does not know: upgrade this program")
	f(1, ErrRetired, "decode partial: version 1 (this release reads 2) at byte 1: record has a version that this release no longer reads")
}

func TestTickComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Tick{rapid.Int64().Draw(t, "clock"), rapid.Uint64().Draw(t, "incarnation"), anyID().Draw(t, "rules"), rapid.String().Draw(t, "owner")}
		b := AppendTick([]byte("x"), &want)[1:]
		var got Tick
		if err := DecodeTick(b, &got); err != nil || got != want {
			t.Fatalf("decoded %+v, %v; want %+v", got, err, want)
		}
		for n := range b {
			if err := DecodeTick(b[:n], &got); !errors.Is(err, ErrTruncated) {
				t.Fatalf("%d of %d bytes: %v", n, len(b), err)
			}
		}
	})
}

func TestEveryPrefixOfAPartialIsAnError(t *testing.T) {
	b := AppendPartial(nil, secondPartial())
	var p Partial
	for n := range b {
		if err := DecodePartial(b[:n:n], &p); err == nil {
			t.Errorf("%d of %d bytes decode", n, len(b))
		}
	}
}

func TestCheckpointIsSplitAndJoined(t *testing.T) {
	payload := make([]byte, 2*checkpointPart+17)
	for i := range payload {
		payload[i] = byte(i * i >> 3)
	}
	f := func(size, parts int) {
		t.Helper()
		records := SplitCheckpoint(5, 9, payload[:size])
		if len(records) != parts {
			t.Fatalf("%d bytes: %d records, want %d", size, len(records), parts)
		}
		var j CheckpointJoiner
		for i, r := range slices.Backward(records) {
			if len(r) > 1<<20-1024 {
				t.Errorf("record %d has %d bytes", i, len(r))
			}
			if _, _, ok := j.Latest(5); ok {
				t.Errorf("complete without record %d", i)
			}
			if err := j.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		set, got, ok := j.Latest(5)
		if !ok || set != 9 || !bytes.Equal(got, payload[:size]) {
			t.Errorf("%d bytes: set %d, %d bytes, %v", size, set, len(got), ok)
		}
	}
	f(0, 1)
	f(10, 1)
	f(checkpointPart, 1)
	f(checkpointPart+1, 2)
	f(len(payload), 3)
}

// A collector dies while it writes a checkpoint: the one before it counts, and
// the next one must not overwrite that.
func TestUnfinishedCheckpointLeavesTheLastOne(t *testing.T) {
	old := SplitCheckpoint(0, 4, []byte("state four"))
	torn := SplitCheckpoint(0, 5, make([]byte, checkpointPart*2))
	var j CheckpointJoiner
	for _, b := range [][]byte{old[0], torn[1]} {
		if err := j.Add(b); err != nil {
			t.Fatal(err)
		}
	}
	set, payload, ok := j.Latest(0)
	if !ok || set != 4 || string(payload) != "state four" {
		t.Fatalf("latest is set %d %q %v", set, payload, ok)
	}
	next := j.Next(0)
	if next != 7 {
		t.Errorf("next set is %d, want 7: above 5, and under other keys than 4", next)
	}
	if string(CheckpointKey(0, next, 0)) == string(CheckpointKey(0, set, 0)) {
		t.Error("the next set overwrites the last complete one")
	}
	if j.Next(1) != 1 {
		t.Errorf("first set is %d, want 1", j.Next(1))
	}
	// Older parts that compaction has not removed yet change nothing.
	if err := j.Add(SplitCheckpoint(0, 2, []byte("state two"))[0]); err != nil {
		t.Fatal(err)
	}
	if set, _, _ := j.Latest(0); set != 4 {
		t.Errorf("latest is set %d, want 4", set)
	}
}

func TestCheckpointOfTwoWritersIsRefused(t *testing.T) {
	a := SplitCheckpoint(0, 1, make([]byte, checkpointPart+1))
	b := SplitCheckpoint(0, 1, bytes.Repeat([]byte{1}, checkpointPart+1))
	var j CheckpointJoiner
	for _, r := range [][]byte{a[0], b[1]} {
		if err := j.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, ok := j.Latest(0); ok {
		t.Error("parts of two payloads were joined")
	}
	damaged := slices.Clone(SplitCheckpoint(0, 2, []byte("state"))[0])
	damaged[len(damaged)-1]++
	if err := j.Add(damaged); !errors.Is(err, ErrCorrupt) {
		t.Errorf("damaged payload: %v", err)
	}
}

func TestDeadLetterComesBack(t *testing.T) {
	want := DeadLetter{Topic: TopicTelemetry, Partition: 3, Offset: 1 << 40, Reason: "frame", Detail: "decode frame: agent at byte 20: record is truncated",
		Time: 1_700_000_000_000, Size: 5 << 20}
	headers := append(want.Headers(), Header{HeaderType, []byte(TypeFrame)})
	got, err := DecodeDeadLetter(headers)
	if err != nil || got != want {
		t.Errorf("decoded %+v, %v; want %+v", got, err, want)
	}
	if typ := TypeOf([]byte{MagicFrame}, headers); typ != TypeDeadLetter {
		t.Errorf("type %q", typ)
	}
	if _, err := DecodeDeadLetter(nil); err == nil || !strings.Contains(err.Error(), "nines-dead-partition") {
		t.Errorf("without headers: %v", err)
	}
}

func TestTypeOf(t *testing.T) {
	f := func(value string, headers []Header, want string) {
		t.Helper()
		if got := TypeOf([]byte(value), headers); got != want {
			t.Errorf("type of %q = %q, want %q", value, got, want)
		}
	}
	f("", nil, "")
	f("cpu,host=a usage=1 17", nil, "")
	f("\xf9", nil, TypeFrame)
	f("\xfa", nil, TypeTick)
	f("\xfb", nil, TypePartial)
	f("\xfc", nil, TypeCheckpoint)
	f("{}", []Header{{"other", nil}, {HeaderType, []byte(TypeAlert)}}, TypeAlert)
}

func TestRecordGoldens(t *testing.T) {
	golden(t, "tick.hex", []byte(hex.Dump(AppendTick(nil, goldenTick()))))
	golden(t, "partial.hex", []byte(hex.Dump(AppendPartial(nil, secondPartial()))))
	golden(t, "checkpoint.hex", []byte(hex.Dump(SplitCheckpoint(3, 8, []byte("state"))[0])))
	golden(t, "hist.hex", []byte(hex.Dump(observed(0, 0.001, 0.001, 0.0011, 0.25, math.Inf(1)).AppendBinary(nil))))
}

func goldenTick() *Tick {
	return &Tick{Clock: 1767225600250, Incarnation: 1, RuleSet: "8899aabbccddeeff", Owner: "collector-1"}
}

func TestALettersOriginalHeadersComeBack(t *testing.T) {
	d := DeadLetter{Topic: "telegraf", Reason: "format", Size: 3}
	own := []Header{{"content-type", []byte("application/x-protobuf")}, {"trace", []byte("1")}}
	if got := Original(append(d.Headers(), own...)); !reflect.DeepEqual(got, own) {
		t.Errorf("got %q, want %q", got, own)
	}
	if got := Original(d.Headers()); len(got) != 0 {
		t.Errorf("headers from nowhere: %q", got)
	}
}

func TestReinjectionComesBack(t *testing.T) {
	for _, want := range []Reinjection{{Letter: 12, Topic: "telegraf", Partition: 3, Offset: 1 << 40}, {Letter: 0, Topic: TopicTelemetry, Offset: -1}} {
		got, err := DecodeReinjection(want.Headers())
		if err != nil || got != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
		if typ := TypeOf(nil, want.Headers()); typ != TypeReinjection {
			t.Errorf("type %q", typ)
		}
	}
	if _, err := DecodeReinjection([]Header{{headerLetter, []byte("-2")}}); err == nil || !strings.Contains(err.Error(), "nines-letter: -2 is below 0") {
		t.Errorf("a letter at no offset: %v", err)
	}
}
