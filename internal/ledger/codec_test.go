package ledger

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nines/internal/sla"
	"nines/internal/telemetry"
)

var update = flag.Bool("update", false, "write the golden files")

// richBlock has every feature of the format.
func richBlock() []Versioned {
	var out []Versioned
	for i := range int64(60) {
		s := goodSlot(t0 + i*minute)
		s.Total += uint64(i % 7)
		switch i {
		case 10, 11, 12, 13:
			s = badSlot(s.Start)
		case 20:
			s = Slot{Start: s.Start, State: sla.Unknown, Version: 1, Reason: "silent", Blind: 60}
		case 29:
			s.Good, s.Total, s.Owed = 0, 2, 1<<40 // bad events before those of all
		case 30:
			s.Version, s.Good, s.Total = 3, 1<<62, 1<<61 // more good than all: counters of two series
		case 40:
			s.Vantages = []sla.Bins{{Vantage: "", OK: []uint64{0xaaaaaaaaaaaaaaaa, 1 << 63, 0}, Fail: []uint64{0x5555555555555555}}}
		case 59:
			s.Start += 30_000
		}
		switch {
		case i > 50 || len(s.Vantages) > 0:
			s.Complete = nil // as of counts without vantage points
		case i > 45 && s.Complete != nil:
			s.Complete = []string{"", "agent-2"}
		}
		out = append(out, Versioned{s, s.Start + 70_000})
	}
	out[7].WrittenAt = out[7].Start - 20_000
	return out
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".hex")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(wrap(hex.EncodeToString(got))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := must(os.ReadFile(path))(t)
	if wrap(hex.EncodeToString(got)) != string(want) {
		t.Errorf("%s changed: a ledger in the field has the old bytes. Got\n%s", path, wrap(hex.EncodeToString(got)))
	}
}

func wrap(s string) string {
	var b strings.Builder
	for len(s) > 96 {
		b.WriteString(s[:96] + "\n")
		s = s[96:]
	}
	return b.String() + s + "\n"
}

func TestBlockGolden(t *testing.T) {
	want := richBlock()
	b := appendBlock(nil, t0, want)
	golden(t, "block", b)
	got := must(decodeBlock(nil, t0, b))(t)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v", got)
	}
	for i := range b {
		if _, err := decodeBlock(nil, t0, b[:i]); err == nil {
			t.Fatalf("decoded %d of %d bytes", i, len(b))
		}
	}
}

// TestBlockOfFormat1: what was written before good slots named their vantage
// points is read as it was.
func TestBlockOfFormat1(t *testing.T) {
	text := string(must(os.ReadFile(filepath.Join("testdata", "block-1.hex")))(t))
	b := must(hex.DecodeString(strings.ReplaceAll(text, "\n", "")))(t)
	got := must(decodeBlock(nil, t0, b))(t)
	want := richBlock()
	want[29].Slot = goodSlot(want[29].Start)
	want[29].Total += 29 % 7
	want[30].Good, want[30].Total, want[30].Owed = 0, 1<<62, 1<<63 // as numbers below zero are read since
	for i := range want {
		want[i].Complete = nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
	if again := must(decodeBlock(nil, t0, appendBlock(nil, t0, got)))(t); !reflect.DeepEqual(again, want) {
		t.Fatalf("written anew: %+v", again)
	}
}

func TestOtherGoldens(t *testing.T) {
	s := Status{
		Window: Totals{1, 2, 3, 4, 5}, Attainment: sla.Ratio{Num: 1, Den: 3}, BudgetLeft: -0.5, Down: "down", State: "failing",
		LastSample: t0, Burn: []BurnRate{{1, 2, true}, {3, 4, false}},
	}
	b := appendStatus(nil, &s)
	golden(t, "status", b)
	var got Status
	if err := decodeStatus(&got, b); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("got %+v, %v", got, err)
	}

	day := []HourTotals{{t0, Totals{60, 61, 1, 2, 3}}, {t0 + 5*hourMillis, Totals{Good: 2, Total: 1}}, {t0 + 23*hourMillis, Totals{}}}
	b = appendDay(nil, t0, day)
	golden(t, "day", b)
	if got := must(decodeDay(nil, t0, b))(t); !reflect.DeepEqual(got, day) {
		t.Errorf("got %+v", got)
	}
}

// An hour of good minutes is what most rows hold: it has to be small.
func TestQuietHourIsSmall(t *testing.T) {
	var slots []Versioned
	for i := range int64(60) {
		s := goodSlot(t0 + i*minute)
		s.Complete = nil
		slots = append(slots, Versioned{s, s.Start + 65_000 + i})
	}
	if n := len(appendBlock(nil, t0, slots)); n > 32 {
		t.Errorf("%d bytes", n)
	}
	var day []hourBlock
	for h := range int64(24) {
		for i := range slots {
			slots[i].Start = t0 + h*hourMillis + int64(i)*minute
			slots[i].WrittenAt = slots[i].Start + 65_000
			slots[i].Complete = []string{"agent-1", "agent-2", "agent-3"}
		}
		day = append(day, hourBlock{t0 + h*hourMillis, appendBlock(nil, t0+h*hourMillis, slots)})
	}
	if n, whole := len(appendDaySlots(nil, t0, day)), len(day[0].block); n > whole+24*5 || whole > 60 {
		t.Errorf("a quiet day with the names of its vantage points takes %d bytes, its first hour %d", n, whole)
	}
	if n := len(appendBlock(nil, t0, []Versioned{{Slot: badSlot(t0)}})); n > 100 {
		t.Errorf("a bad minute seen from two vantage points takes %d bytes", n)
	}
}

func TestBitmaps(t *testing.T) {
	f := func(words ...uint64) {
		t.Helper()
		b := appendBitmap(nil, words)
		r := &reader{b: b}
		budget := len(words)
		got := r.bitmap(&budget)
		if err := r.end(); err != nil || !reflect.DeepEqual(got, words) && len(words) > 0 {
			t.Fatalf("%x: got %x, %v", words, got, err)
		}
		if len(b) > 2+len(words)*8 {
			t.Fatalf("%x takes %d bytes", words, len(b))
		}
	}
	f()
	f(0)
	f(^uint64(0))
	f(^uint64(0), ^uint64(0), 0, 1)
	f(0, 0, 1<<63)
	f(1, 1<<63, 1)
	f(0xaaaaaaaaaaaaaaaa)
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		words := make([]uint64, 1+rnd.IntN(5))
		for i := range words {
			words[i] = rnd.Uint64() & rnd.Uint64() << rnd.IntN(64)
		}
		f(words...)
	}
}

func TestHourOf(t *testing.T) {
	f := func(at, hour, day int64) {
		t.Helper()
		if hourOf(at) != hour || dayOf(at) != day {
			t.Fatalf("%d: hour %d, day %d", at, hourOf(at), dayOf(at))
		}
	}
	f(0, 0, 0)
	f(hourMillis-1, 0, 0)
	f(dayMillis+hourMillis, dayMillis+hourMillis, dayMillis)
	f(-1, -hourMillis, -dayMillis)
	f(-hourMillis, -hourMillis, -dayMillis)
}

func FuzzBlock(f *testing.F) {
	f.Add(appendBlock(nil, t0, richBlock()))
	f.Add(appendBlock(nil, t0, nil))
	f.Add(appendBlock(nil, t0, []Versioned{{Slot: openSlot(t0, 3, 4)}}))
	f.Add(appendBlock(nil, t0, []Versioned{{Slot: Slot{Start: t0, State: sla.Good, Version: 1, Complete: []string{"a", "", "a"}}}}))
	f.Add([]byte{plainFormat, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		slots, err := decodeBlock(nil, t0, b)
		if err != nil {
			return
		}
		// What decodes encodes to bytes that decode to the same.
		again, err := decodeBlock(nil, t0, appendBlock(nil, t0, slots))
		if err != nil || !reflect.DeepEqual(again, slots) {
			t.Fatalf("%v: %+v became %+v", err, slots, again)
		}
	})
}

func FuzzStatus(f *testing.F) {
	f.Add(appendStatus(nil, &Status{State: "up", Burn: make([]BurnRate, 4)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s, again Status
		if decodeStatus(&s, b) != nil {
			return
		}
		c := appendStatus(nil, &s)
		if err := decodeStatus(&again, c); err != nil || !bytes.Equal(c, appendStatus(nil, &again)) {
			t.Fatalf("%v: %+v became %+v", err, s, again)
		}
	})
}

func FuzzDay(f *testing.F) {
	f.Add(appendDay(nil, t0, []HourTotals{{t0 + hourMillis, Totals{1, 2, 3, 4, 5}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		hours, err := decodeDay(nil, t0, b)
		if err != nil {
			return
		}
		again, err := decodeDay(nil, t0, appendDay(nil, t0, hours))
		if err != nil || !reflect.DeepEqual(again, hours) {
			t.Fatalf("%v: %+v became %+v", err, hours, again)
		}
	})
}

// The short way to read labels says what JSON says, or nothing.
func FuzzPlainLabels(f *testing.F) {
	for _, s := range []string{`{"a":"1","b":"2"}`, `{"b":"1","a":"2"}`, `{"a":"1","a":"2"}`, `{"a":""}`, `{}`, `{"a":"\\n"}`, `{"a":"ü"}`, `{"a\":\"b":"c"}`, `{"a":"1"}x`, `{"a" :"1"}`, "{\"a\":\"\xff\"}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ls, ok := plainLabels(s)
		if !ok {
			return
		}
		var m map[string]string
		if err := json.Unmarshal([]byte(s), &m); err != nil || !reflect.DeepEqual(telemetry.NewLabels(m), ls) {
			t.Fatalf("%q is %v to JSON (%v), and %v", s, m, err, ls)
		}
	})
}

func TestPlainLabelsAreReadTheShortWay(t *testing.T) {
	want := telemetry.NewLabels(map[string]string{"region": "eu", "target": "https://a.example/?q=1", "zone": "eu-a"})
	text := must(encodeLabels(want))(t)
	if got, ok := plainLabels(text); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("%s became %v, %v", text, got, ok)
	}
}
