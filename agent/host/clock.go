package host

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// ClockState is what the kernel knows about its clock.
type ClockState struct {
	// Offset is how far the clock is behind true time as last told to the kernel
	// by whoever disciplines it, less what was corrected since. A daemon that
	// steers by frequency alone (chrony) leaves it near zero; MaxError then says
	// more.
	Offset time.Duration
	// MaxError bounds the clock's error, and grows while nobody disciplines it.
	MaxError time.Duration
	// EstimatedError is what whoever disciplines the clock believes it to be.
	EstimatedError time.Duration
	// Synchronised is false where nobody disciplines the clock.
	Synchronised bool
}

// ReadClock asks the kernel by adjtimex(2), changing nothing.
func ReadClock() (ClockState, error) {
	var tx unix.Timex
	state, err := unix.Adjtimex(&tx)
	if err != nil {
		return ClockState{}, fmt.Errorf("read clock state: %w", err)
	}
	return clockState(&tx, state), nil
}

func clockState(tx *unix.Timex, state int) ClockState {
	unit := time.Microsecond
	if tx.Status&unix.STA_NANO != 0 {
		unit = time.Nanosecond
	}
	return ClockState{
		Offset:         time.Duration(tx.Offset) * unit,
		MaxError:       time.Duration(tx.Maxerror) * time.Microsecond,
		EstimatedError: time.Duration(tx.Esterror) * time.Microsecond,
		Synchronised:   state != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0,
	}
}
