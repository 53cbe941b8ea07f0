package timesync

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"time"
)

// Chrony's command protocol, version 6: candm.h of chrony 2.2 to 4.
const (
	chronyVersion  = 6
	chronyRequest  = 1
	chronyReply    = 2
	chronyTracking = 33 // the command
	trackingReply  = 5

	replyHeader  = 28
	trackingSize = replyHeader + 76
)

// trackingRequest appends the question how the clock is doing. It is as long as
// the answer: chronyd answers nothing that would amplify.
func trackingRequest(dst []byte, sequence uint32) []byte {
	var b [trackingSize]byte
	b[0], b[1] = chronyVersion, chronyRequest
	binary.BigEndian.PutUint16(b[4:], chronyTracking)
	binary.BigEndian.PutUint32(b[8:], sequence)
	return append(dst, b[:]...)
}

// parseTracking reads the answer to the request of that sequence at a time. mine
// is false for what is no answer to it.
func parseTracking(b []byte, sequence uint32, now time.Time) (f figures, mine bool, err error) {
	f = unknown()
	if len(b) < replyHeader || b[1] != chronyReply || binary.BigEndian.Uint32(b[16:]) != sequence {
		return f, false, nil
	}
	if b[0] != chronyVersion {
		return f, true, &failure{reasonMalformed, fmt.Errorf("chronyd speaks version %d of its protocol, not %d", b[0], chronyVersion)}
	}
	command, reply, status := binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:]), binary.BigEndian.Uint16(b[8:])
	switch {
	case command != chronyTracking:
		return f, false, nil
	case status != 0:
		return f, true, &failure{reasonRefused, fmt.Errorf("chronyd answers with status %d", status)}
	case reply != trackingReply || len(b) < trackingSize:
		return f, true, &failure{reasonMalformed, fmt.Errorf("answer %d of %d bytes is none to tracking", reply, len(b))}
	}
	return tracking(b[replyHeader:], now), true, nil
}

// tracking reads the body of the answer. A chronyd that follows nothing gives
// zeros, which are no measurements.
func tracking(b []byte, now time.Time) figures {
	f := unknown()
	leap := binary.BigEndian.Uint16(b[26:])
	f.leap, f.synchronised = float64(leap), 0
	if leap >= leapUnsynchronised {
		return f
	}
	f.synchronised = 1
	f.stratum = float64(binary.BigEndian.Uint16(b[24:]))
	f.reference = chronyReference(b)
	seconds := uint64(binary.BigEndian.Uint32(b[28:]))<<32 | uint64(binary.BigEndian.Uint32(b[32:]))
	if at := float64(seconds) + float64(binary.BigEndian.Uint32(b[36:]))/1e9; at > 0 {
		f.referenceAge = max(0, float64(now.UnixNano())/1e9-at)
	}
	for i, to := range []*float64{&f.offset, &f.lastOffset, &f.rmsOffset, &f.frequencyError, nil, &f.skew, &f.rootDelay, &f.rootDispersion, &f.updateInterval} {
		if to != nil {
			*to = chronyFloat(binary.BigEndian.Uint32(b[40+4*i:]))
		}
	}
	// The clock runs slow where the frequency is positive; both are in ppm.
	f.frequencyError, f.skew = f.frequencyError/1e6, f.skew/1e6
	return f
}

// chronyReference is the address of what chronyd follows, or the name of its
// clock.
func chronyReference(b []byte) string {
	switch binary.BigEndian.Uint16(b[20:]) {
	case 1:
		return netip.AddrFrom4([4]byte(b[4:8])).String()
	case 2:
		return netip.AddrFrom16([16]byte(b[4:20])).String()
	}
	return referenceName(b[:4])
}

// referenceName is a reference identifier as a word, such as GPS, where it is
// one, or else in hexadecimal digits.
func referenceName(id []byte) string {
	n := len(id)
	for n > 0 && id[n-1] == 0 {
		n--
	}
	if name := printable(id[:n]); n > 0 && len(name) == n {
		return name
	}
	return fmt.Sprintf("%08X", id)
}

// chronyFloat reads chrony's own format: seven bits of exponent, 25 of
// coefficient, both signed.
func chronyFloat(x uint32) float64 {
	exponent, coefficient := int32(x)>>25, int32(x<<7)>>7
	return math.Ldexp(float64(coefficient), int(exponent)-25)
}
