package mesh

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// vector is a packet as bytes, with spaces for reading.
func vector(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Times of the vectors: 2026-01-02 03:04:05.5 UTC, then a quarter and a half of a
// second later; clocks that are synchronised within 2⁻¹⁰ s, and not within 1 s.
var (
	vectorT1 = timestamp(0xed01b425_80000000)
	vectorT2 = timestamp(0xed01b425_c0000000)
	vectorT3 = timestamp(0xed01b426_00000000)
	vectorQ  = question{seq: 7, sent: vectorT1, err: estimate(time.Second>>10, true)}
	vectorA  = answer{seq: 7, sent: vectorT3, err: estimate(time.Second, false), received: vectorT2, asked: vectorQ, ttl: 61}
)

func TestPacketsOfRFC8762(t *testing.T) {
	f := func(name string, key []byte, q, a string) {
		t.Helper()
		c := newCodec(key)
		for _, v := range []struct {
			kind string
			got  []byte
			want string
		}{{"question", c.appendQuestion(nil, vectorQ), q}, {"answer", c.appendAnswer(nil, vectorA), a}} {
			want := vector(t, v.want)
			if !bytes.Equal(v.got, want) {
				t.Errorf("%s %s:\n%x, want\n%x", name, v.kind, v.got, want)
			}
		}
		if got, err := c.parseQuestion(vector(t, q)); err != nil || got != vectorQ {
			t.Errorf("%s question: %+v, %v", name, got, err)
		}
		if got, err := c.parseAnswer(vector(t, a)); err != nil || got != vectorA {
			t.Errorf("%s answer: %+v, %v", name, got, err)
		}
	}
	// The fields are laid out by hand from the figures of sections 4.2 and 4.3; the
	// HMACs are those of openssl dgst -sha256 -hmac over the first 96 bytes.
	zeros := func(n int) string { return strings.Repeat("00", n) }
	f("unauthenticated", nil,
		"00000007 ed01b42580000000 8f80"+zeros(30),
		"00000007 ed01b42600000000 1980 0000 ed01b425c0000000 00000007 ed01b42580000000 8f80 0000 3d 000000")
	f("authenticated", []byte("sixteen or more bytes"),
		"00000007"+zeros(12)+"ed01b42580000000 8f80"+zeros(70)+"068ca485966c0d631ae58dc8905e95f6",
		"00000007"+zeros(12)+"ed01b42600000000 1980"+zeros(6)+"ed01b425c0000000"+zeros(8)+
			"00000007"+zeros(12)+"ed01b42580000000 8f80"+zeros(6)+"3d"+zeros(15)+"3a06e4c9b4c41fb3ac5562fbb0de3623")
}

func TestTheVectorsTimesAreWhatTheySay(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 500_000_000, time.UTC)
	if got := timestampOf(at); got != vectorT1 {
		t.Errorf("%x, want %x", got, vectorT1)
	}
}

func TestForgedAndCutPacketsAreRefused(t *testing.T) {
	key := []byte("sixteen or more bytes")
	f := func(c *codec, b []byte, want error) {
		t.Helper()
		if _, err := c.parseQuestion(b); !errors.Is(err, want) {
			t.Errorf("question: %v, want %v", err, want)
		}
	}
	plain, keyed, other := newCodec(nil), newCodec(key), newCodec([]byte("another key of bytes"))
	good := keyed.appendQuestion(nil, vectorQ)
	f(plain, plain.appendQuestion(nil, vectorQ)[:43], errShort)
	f(plain, nil, errShort)
	f(keyed, plain.appendQuestion(nil, vectorQ), errShort)
	f(keyed, good[:111], errShort)
	f(other, good, errForged)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		f(keyed, bad, errForged)
	}
	f(keyed, append(good, "extensions"...), nil)
	f(plain, plain.appendAnswer(nil, vectorA), errEcho)
	f(keyed, keyed.appendAnswer(nil, vectorA), errEcho)
	if _, err := keyed.parseAnswer(other.appendAnswer(nil, vectorA)); !errors.Is(err, errForged) {
		t.Errorf("answer under another key: %v", err)
	}
	ptp := vectorA
	ptp.err |= bitPTP
	if _, err := plain.parseAnswer(plain.appendAnswer(nil, ptp)); !errors.Is(err, errFormat) {
		t.Errorf("answer in PTP's format: %v", err)
	}
}

func TestDifferencesOfTimestamps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := time.Unix(0, rapid.Int64Range(0, 1<<62).Draw(t, "a"))
		d := time.Duration(rapid.Int64Range(-int64(24*time.Hour), int64(24*time.Hour)).Draw(t, "d"))
		if got := timestampOf(a.Add(d)).sub(timestampOf(a)); (got - d).Abs() > 2 {
			t.Fatalf("%v, want %v", got, d)
		}
	})
	wrap := time.Date(2036, 2, 7, 6, 28, 15, 999_000_000, time.UTC) // the era ends a millisecond later
	if got := timestampOf(wrap.Add(time.Second)).sub(timestampOf(wrap)); (got - time.Second).Abs() > 2 {
		t.Errorf("across the end of the era: %v", got)
	}
}

func TestErrorEstimatesAreBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "bound"))
		s := rapid.Bool().Draw(t, "synchronised")
		e := estimate(d, s)
		if e.synchronised() != s || e.ptp() || e&0xff == 0 {
			t.Fatalf("%v, %v: %016b", d, s, e)
		}
		if got := e.bound(); got < d-1 || got > d+d/64+1 {
			t.Fatalf("%v became %v", d, got)
		}
	})
	for e := range 1 << 16 {
		if b := errorEstimate(e).bound(); b < 0 || b > time.Hour {
			t.Fatalf("%04x: %v", e, b)
		}
	}
}

func FuzzPackets(f *testing.F) {
	for _, key := range [][]byte{nil, []byte("sixteen or more bytes")} {
		c := newCodec(key)
		f.Add(key, c.appendQuestion(nil, vectorQ))
		f.Add(key, c.appendAnswer(nil, vectorA))
	}
	f.Add([]byte(nil), []byte("short"))
	f.Fuzz(func(t *testing.T, key, b []byte) {
		c := newCodec(key)
		if q, err := c.parseQuestion(b); err == nil {
			if again, err := c.parseQuestion(c.appendQuestion(nil, q)); err != nil || again != q {
				t.Errorf("question %+v became %+v, %v", q, again, err)
			}
		}
		if a, err := c.parseAnswer(b); err == nil {
			if again, err := c.parseAnswer(c.appendAnswer(nil, a)); err != nil || again != a {
				t.Errorf("answer %+v became %+v, %v", a, again, err)
			}
		}
	})
}
