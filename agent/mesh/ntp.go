package mesh

import (
	"math/bits"
	"time"
)

// timestamp is NTP's 64-bit format: seconds since 1900 and their fraction in
// 2⁻³² s. It wraps in 2036; differences are right across that.
type timestamp uint64

// since1900 is the seconds from 1900 to 1970 (RFC 5905, figure 4).
const since1900 = 2_208_988_800

func timestampOf(t time.Time) timestamp {
	return timestamp(uint64(t.Unix()+since1900)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second))
}

// sub returns t−u, where both are within 68 years of each other.
func (t timestamp) sub(u timestamp) time.Duration {
	d := int64(t - u)
	sec, frac := d>>32, uint64(d)&(1<<32-1)
	return time.Duration(sec)*time.Second + time.Duration(frac*uint64(time.Second)>>32)
}

// errorEstimate is what a packet says of its sender's clock (RFC 4656, 4.1.2):
// the bit S, whether it follows UTC; the bit Z, whether times are in PTP's
// format; and a bound of its error, multiplier·2^(scale−32) s.
type errorEstimate uint16

const (
	bitSynchronised = 1 << 15
	bitPTP          = 1 << 14
)

// estimate rounds the bound up.
func estimate(bound time.Duration, synchronised bool) errorEstimate {
	bound = min(max(bound, 0), time.Hour)
	hi, lo := bits.Mul64(uint64(bound), 1<<32)
	units, rest := bits.Div64(hi, lo, uint64(time.Second))
	if rest > 0 {
		units++
	}
	scale := 0
	for units > 255 {
		units = (units + 1) / 2
		scale++
	}
	e := errorEstimate(scale<<8) | errorEstimate(max(units, 1)) // a multiplier of 0 is not allowed
	if synchronised {
		e |= bitSynchronised
	}
	return e
}

func (e errorEstimate) synchronised() bool { return e&bitSynchronised != 0 }

func (e errorEstimate) ptp() bool { return e&bitPTP != 0 }

// bound returns the greatest error, at most an hour.
func (e errorEstimate) bound() time.Duration {
	scale, multiplier := uint(e>>8&0x3f), uint64(e&0xff)
	if scale > 48 {
		return time.Hour // no clock that says so is of use
	}
	hi, lo := bits.Mul64(multiplier<<scale, uint64(time.Second))
	if hi >= 1<<31 {
		return time.Hour
	}
	return min(time.Duration(hi<<32|lo>>32), time.Hour)
}
