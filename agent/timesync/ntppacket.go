package timesync

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

const (
	ntpSize     = 48
	ntpUnixBase = 2208988800 // 1970 in NTP's seconds
	ntpClient   = 4<<3 | 3   // version 4, mode client
	modeServer  = 4
	stratumKiss = 0
	stratumLast = 15 // 16 is "not synchronised"
	// maxDistance is MAXDISP of RFC 5905: who is farther from true time knows
	// nothing of it.
	maxDistance = 16.0
)

// ntpTime is a time in units of 2^-32 s, as packets carry it. It wraps in 2036;
// differences are right while they are less than 68 years.
type ntpTime uint64

func toNTP(t time.Time) ntpTime {
	return ntpTime(uint64(t.Unix()+ntpUnixBase)<<32 | uint64(t.Nanosecond())<<32/1e9)
}

// sub returns t-u in seconds.
func (t ntpTime) sub(u ntpTime) float64 { return math.Ldexp(float64(int64(t-u)), -32) }

// ntpRequest appends a client's request (RFC 5905, section 7.3). Its transmit
// timestamp is a number that only the asked one learns: it comes back as the
// origin and tells the answer from a forged one, and nobody the host's clock.
func ntpRequest(dst []byte, nonce uint64) []byte {
	var b [ntpSize]byte
	b[0] = ntpClient
	binary.BigEndian.PutUint64(b[40:], nonce)
	return append(dst, b[:]...)
}

// kiss is a server's wish, its reference identifier: RATE, DENY, RSTR, …
// (RFC 5905, section 7.4).
type kiss string

func (k kiss) Error() string { return "the server answers with the kiss code " + string(k) }

// final tells whether the server wants no further request at all.
func (k kiss) final() bool { return k == "DENY" || k == "RSTR" }

// parseNTP reads the answer to the request with that nonce, sent and received at
// these times by the host's clock. mine is false for what is no answer to it.
// The offset is the mean of what the clock is behind on the way there and back,
// and wrong by half the delay at most (RFC 5905, section 8).
func parseNTP(b []byte, nonce uint64, sent, received ntpTime) (f figures, mine bool, err error) {
	f = unknown()
	if len(b) < ntpSize || b[0]&7 != modeServer || binary.BigEndian.Uint64(b[24:]) != nonce {
		return f, false, nil
	}
	leap, stratum := b[0]>>6, b[1]
	at := func(i int) ntpTime { return ntpTime(binary.BigEndian.Uint64(b[i:])) }
	short := func(i int) float64 { return float64(binary.BigEndian.Uint32(b[i:])) / (1 << 16) }
	if v := b[0] >> 3 & 7; v == 0 || v > 4 {
		return f, true, &failure{reasonMalformed, fmt.Errorf("the server speaks version %d of NTP", v)}
	}
	if stratum == stratumKiss {
		k := kiss(printable(b[12:16]))
		if k == "RATE" {
			return f, true, &failure{reasonRate, k}
		}
		return f, true, &failure{reasonRefused, k}
	}
	f.leap, f.synchronised = float64(leap), 0
	if leap == leapUnsynchronised || stratum > stratumLast {
		return f, true, nil
	}
	there, back := at(32).sub(sent), at(40).sub(received)
	rootDelay, rootDispersion, held := short(4), short(8), at(40).sub(at(32))
	switch {
	case at(32) == 0 || at(40) == 0:
		return unknown(), true, fail(reasonMalformed, "the server's answer has no time in it")
	case held < 0:
		return unknown(), true, fail(reasonMalformed, "the server sent its answer before it had the question")
	case rootDelay/2+rootDispersion >= maxDistance:
		return unknown(), true, fail(reasonMalformed, "the server is farther than 16 s from true time")
	}
	f.synchronised, f.stratum = 1, float64(stratum)
	f.offset, f.delay = (there+back)/2, max(0, received.sub(sent)-held)
	f.rootDelay, f.rootDispersion = rootDelay, rootDispersion
	if ref := at(16); ref != 0 {
		f.referenceAge = max(0, at(40).sub(ref))
	}
	f.reference = fmt.Sprintf("%08X", b[12:16]) // an address, or a digest of one
	if stratum == 1 {
		f.reference = referenceName(b[12:16])
	}
	return f, true, nil
}
