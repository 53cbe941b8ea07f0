package main

import (
	"fmt"
	"reflect"
	"syscall"
	"time"
)

// Which direction of a figure is better.
const (
	higher = "higher"
	lower  = "lower"
)

// benchmark is one figure.
type benchmark struct {
	Name, Unit string
	Better     string // higher or lower
	// Target is what is promised; 0 promises nothing.
	Target float64
	// Prepare sets up what is not measured and returns what is: each call is a
	// run and gives the figure.
	Prepare func() (run func() (float64, error), err error)
	// Clean, where set, removes what Prepare left, also after it failed.
	Clean func()
	// Apart runs it only where it is named: it takes minutes, and programs that
	// are not ours.
	Apart bool
}

// suite carries the benchmarks: each exported method that returns a benchmark
// is one.
type suite struct{ side *sideBySide }

// benchmarks returns all, in the order of the methods' names.
func benchmarks(side *sideBySide) []benchmark {
	var all []benchmark
	v := reflect.ValueOf(suite{side})
	for i := range v.NumMethod() {
		if f, ok := v.Method(i).Interface().(func() benchmark); ok {
			all = append(all, f())
		}
	}
	return all
}

// runTime is the CPU time that one run of a hot loop takes.
const runTime = 500 * time.Millisecond

// cpuTime returns the CPU time, user and system, that the process has used.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// perCPUSecond calls f, which does n units of work, again and again for runTime
// and returns the units done per second of CPU time.
func perCPUSecond(n int, f func() error) (float64, error) {
	start, err := cpuTime()
	if err != nil {
		return 0, err
	}
	for done := 0; ; {
		for range 256 {
			if err := f(); err != nil {
				return 0, err
			}
			done += n
		}
		now, err := cpuTime()
		if err != nil {
			return 0, err
		}
		if d := now - start; d >= runTime {
			return float64(done) / d.Seconds(), nil
		}
	}
}
