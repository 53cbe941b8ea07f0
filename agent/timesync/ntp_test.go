package timesync

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newNTP(t testing.TB, servers ...string) *NTP {
	t.Helper()
	n, err := NewNTP(NTPOptions{Servers: servers, Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func of(server string) string { return `{server="` + server + `",source="ntp"}` }

func failuresOf(server, reason string) string {
	return `clock_source_failures_total{reason="` + reason + `",server="` + server + `",source="ntp"}`
}

// again makes every server due.
func again(n *NTP) {
	for _, s := range n.servers {
		s.due = time.Time{}
	}
}

// One server is half a second ahead, one right, one does not exist.
func TestTheClockAgainstThreeServers(t *testing.T) {
	ahead, right, gone := newTimeServer(t, 500*time.Millisecond), newTimeServer(t, 0), newTimeServer(t, 0)
	nowhere := gone.address()
	gone.conn.Close()
	n := newNTP(t, ahead.address(), right.address(), nowhere)
	got := values(t, n)
	near(t, "offset to the one ahead", got["clock_offset_seconds"+of(ahead.address())], 0.5, 0.05)
	near(t, "offset to the right one", got["clock_offset_seconds"+of(right.address())], 0, 0.05)
	for name, want := range map[string]float64{
		"clock_source_up": 1, "clock_stratum": 1, "clock_leap": 0, "clock_synchronised": 1, "clock_source_stopped": 0,
	} {
		near(t, name, got[name+of(ahead.address())], want, 0)
	}
	near(t, "root delay", got["clock_root_delay_seconds"+of(ahead.address())], 0.01, 1e-4)
	near(t, "root dispersion", got["clock_root_dispersion_seconds"+of(ahead.address())], 0.02, 1e-4)
	near(t, "age of the reference", got["clock_reference_age_seconds"+of(ahead.address())], 5, 1e-3)
	near(t, "delay", got["clock_delay_seconds"+of(ahead.address())], 0.05, 0.05)
	near(t, "reference", got[`clock_reference_info{reference="GPS",server="`+ahead.address()+`",source="ntp"}`], 1, 0)
	near(t, "failures of the one that is not there", got[failuresOf(nowhere, "unreachable")], 1, 0)
	if _, ok := got["clock_offset_seconds"+of(nowhere)]; ok || got["clock_source_up"+of(nowhere)] != 0 {
		t.Errorf("the one that is not there: %v", got)
	}

	// Until it is due again nobody is asked, and the answers stand.
	series, _, _ := n.Read()
	if next := values(t, n); len(next) != len(got) || right.requests() != 1 {
		t.Errorf("%d figures after %d, %d requests", len(next), len(got), right.requests())
	}
	same, _, _ := n.Read()
	if &same[0] != &series[0] {
		t.Error("the layout was made anew although nothing changed")
	}
}

func TestServersThatMisbehave(t *testing.T) {
	change := func(f func(b []byte)) func([]byte) [][]byte {
		return func(b []byte) [][]byte { f(b); return [][]byte{b} }
	}
	f := func(what, reason string, spoil func([]byte) [][]byte) {
		t.Helper()
		s := newTimeServer(t, 0)
		s.set(spoil)
		got := values(t, newNTP(t, s.address()))
		if got[failuresOf(s.address(), reason)] != 1 || got["clock_source_up"+of(s.address())] != 0 {
			t.Errorf("%s: want a failure %s: %v", what, reason, got)
		}
		if n, ok := hasPrefix(got, "clock_offset"); ok {
			t.Errorf("%s: %s is there", what, n)
		}
	}
	f("says nothing", "timeout", func([]byte) [][]byte { return nil })
	f("is cut short", "timeout", func(b []byte) [][]byte { return [][]byte{b[:47], nil} })
	f("answers another's question", "timeout", change(func(b []byte) { b[24] ^= 1 }))
	f("is a client", "timeout", change(func(b []byte) { b[0] = ntpClient }))
	f("floods", "malformed", func(b []byte) [][]byte { b[24] ^= 1; return slicesOf(b, 100) })
	f("speaks version 0", "malformed", change(func(b []byte) { b[0] = modeServer }))
	f("has no time", "malformed", change(func(b []byte) { clear(b[40:48]) }))
	f("answers before the question", "malformed", change(func(b []byte) {
		binary.BigEndian.PutUint64(b[40:], binary.BigEndian.Uint64(b[32:])-1<<32)
	}))
	f("is far from true time", "malformed", change(func(b []byte) { b[9] = 16; b[8] = 0 }))
	f("wants fewer requests", "rate", change(func(b []byte) { b[1] = 0; copy(b[12:], "RATE") }))
	f("denies", "refused", change(func(b []byte) { b[1] = 0; copy(b[12:], "DENY") }))
	f("starts", "refused", change(func(b []byte) { b[1] = 0; copy(b[12:], "INIT") }))
}

// A server that follows nothing answers, but says nothing about our clock.
func TestAServerThatIsNotSynchronised(t *testing.T) {
	for _, spoil := range []func(b []byte){
		func(b []byte) { b[0] |= leapUnsynchronised << 6 },
		func(b []byte) { b[1] = 16 },
	} {
		s := newTimeServer(t, time.Hour)
		s.set(func(b []byte) [][]byte { spoil(b); return [][]byte{b} })
		got := values(t, newNTP(t, s.address()))
		if v, ok := got["clock_synchronised"+of(s.address())]; !ok || v != 0 || got["clock_source_up"+of(s.address())] != 1 {
			t.Errorf("%v", got)
		}
		if n, ok := hasPrefix(got, "clock_offset"); ok {
			t.Errorf("%s is there", n)
		}
	}
}

// After RATE a server is asked half as often, up to an hour; after DENY never.
func TestKissOfDeath(t *testing.T) {
	s := newTimeServer(t, 0)
	kissing := func(code string) func([]byte) [][]byte {
		return func(b []byte) [][]byte { b[1] = 0; copy(b[12:16], code); return [][]byte{b} }
	}
	s.set(kissing("RATE"))
	n := newNTP(t, s.address())
	for i, want := range []time.Duration{2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour} {
		again(n)
		got := values(t, n)
		if n.servers[0].poll != want || got[failuresOf(s.address(), "rate")] != float64(i+1) {
			t.Errorf("after %d: asked every %s, want %s", i+1, n.servers[0].poll, want)
		}
	}
	s.set(nil)
	again(n)
	if got := values(t, n); got["clock_source_up"+of(s.address())] != 1 {
		t.Errorf("answers again: %v", got)
	}
	for _, code := range []string{"DENY", "RSTR"} {
		s.set(kissing(code))
		n := newNTP(t, s.address())
		before := s.requests()
		for range 3 {
			again(n)
			got := values(t, n)
			if got["clock_source_stopped"+of(s.address())] != 1 || got["clock_source_up"+of(s.address())] != 0 {
				t.Errorf("%s: %v", code, got)
			}
		}
		if s.requests() != before+1 {
			t.Errorf("%s: %d more requests", code, s.requests()-before-1)
		}
	}
}

func TestNTPServersOfTheConfiguration(t *testing.T) {
	f := func(want string, poll time.Duration, servers ...string) {
		t.Helper()
		if _, err := NewNTP(NTPOptions{Servers: servers, Poll: poll}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v every %s: %v, want %q", servers, poll, err, want)
		}
	}
	f("want 1 to 16, got 0", 0)
	f("between 16s and 1h", time.Second, "a.example")
	f("between 16s and 1h", 2*time.Hour, "a.example")
	f(`got ":123"`, 0, ":123")
	f(`"b.example:123" is named twice`, 0, "b.example", "b.example:123")
	f("want 1 to 16, got 17", 0, strings.Fields(strings.Repeat("x ", 17))...)
	if _, err := NewNTP(NTPOptions{Servers: []string{"a.example"}, Timeout: time.Minute}); err == nil || !strings.Contains(err.Error(), "got 1m0s") {
		t.Errorf("a minute for an answer: %v", err)
	}
	for in, want := range map[string]string{"a": "a:123", "a:7": "a:7", "192.0.2.1": "192.0.2.1:123", "2001:db8::1": "[2001:db8::1]:123", "[::1]:7": "[::1]:7"} {
		if got := withPort(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// The offset is the server's lead, and wrong by half of the delay's asymmetry,
// whatever the years: also past 2036, where NTP's seconds begin anew.
func TestOffsetIsWithinHalfTheDelay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Int64Range(0, 4_000_000_000).Draw(t, "unix")
		lead := time.Duration(rapid.Int64Range(-1e17, 1e17).Draw(t, "lead"))
		there := time.Duration(rapid.Int64Range(0, 2e9).Draw(t, "there"))
		held := time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "held"))
		back := time.Duration(rapid.Int64Range(0, 2e9).Draw(t, "back"))
		sent := time.Unix(base, 0)
		b := answerTo(ntpRequest(nil, 9), sent.Add(there+lead))
		binary.BigEndian.PutUint64(b[40:], uint64(toNTP(sent.Add(there+lead+held))))
		f, mine, err := parseNTP(b, 9, toNTP(sent), toNTP(sent.Add(there+held+back)))
		if err != nil || !mine {
			t.Fatal(mine, err)
		}
		if math.Abs(f.delay-(there+back).Seconds()) > 1e-6 {
			t.Errorf("delay %v, want %v", f.delay, (there + back).Seconds())
		}
		if math.Abs(f.offset-lead.Seconds()) > f.delay/2+1e-6 {
			t.Errorf("offset %v, want %v within half of %v", f.offset, lead.Seconds(), f.delay)
		}
	})
}

func FuzzNTP(f *testing.F) {
	f.Add(answerTo(ntpRequest(nil, 7), time.Unix(1_800_000_000, 0)))
	f.Add(ntpRequest(nil, 7))
	f.Add([]byte{})
	sent := toNTP(time.Unix(1_800_000_000, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, mine, err := parseNTP(b, 7, sent, sent+1<<20)
		var k kiss
		if err != nil && (!mine || reasonOf(err) == reasonUnreachable) {
			t.Fatalf("mine %v: %v", mine, err)
		}
		if errors.As(err, &k) && strings.ContainsFunc(string(k), func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Fatalf("kiss %q", k)
		}
		for _, v := range []float64{got.offset, got.rootDelay, got.rootDispersion, got.delay, got.referenceAge} {
			if math.IsInf(v, 0) || (!mine || err != nil || got.synchronised != 1) && !math.IsNaN(v) {
				t.Fatalf("%v of %+v", v, got)
			}
		}
		if got.delay < 0 || strings.ContainsFunc(got.reference, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Fatalf("%+v", got)
		}
	})
}
