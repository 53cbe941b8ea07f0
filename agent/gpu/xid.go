// Package gpu measures GPUs: NVIDIA's by NVML or nvidia-smi, AMD's by rocm-smi,
// under the same names and units. It promises that a value which a driver does
// not have is absent, that a GPU which is lost, missing or does not answer is a
// figure itself, and that it holds up neither the others nor the agent.
//
// NVIDIA's XID events are counted from the kernel's log. A last-XID gauge cannot
// show the second of two equal events and never goes back; a counter per GPU and
// code can.
package gpu

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nines/internal/telemetry"
)

// Options configure an Xids.
type Options struct {
	// Log device of the kernel; "" means /dev/kmsg.
	Kmsg string
	// Interval between rounds; 0 means 10 s. An event makes one at once.
	Interval time.Duration
	// Clock returns the sample clock, Unix milliseconds.
	Clock func() int64
	// Sink takes the rounds.
	Sink telemetry.Sink
	// Log says each event once; nil discards it.
	Log *slog.Logger
}

// Present tells whether NVIDIA's driver is on this host.
func Present() bool {
	for _, path := range []string{"/proc/driver/nvidia/version", "/dev/nvidiactl"} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

// Xids counts XID events as gpu_xid_events_total{gpu,xid,severity,action}: gpu is
// the PCI address, severity is critical, application or warning, action what to
// do first. A series appears with the first event of its GPU and code.
type Xids struct {
	opt    Options
	counts map[event]uint64
	order  []event
	schema *telemetry.Schema
}

// event is what the kernel's log says of one XID.
type event struct {
	gpu  string
	code int
}

// New returns the counter. It reads nothing yet.
func New(opt Options) (*Xids, error) {
	if opt.Sink == nil || opt.Clock == nil {
		return nil, errors.New("create XID counter: sink and clock are needed")
	}
	if opt.Kmsg == "" {
		opt.Kmsg = "/dev/kmsg"
	}
	if opt.Interval <= 0 {
		opt.Interval = 10 * time.Second
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Xids{opt: opt, counts: map[event]uint64{}}, nil
}

// Run counts events from now on until ctx ends. Where the kernel's log cannot
// be read it says so and measures nothing: that is no reason to stop an agent.
func (x *Xids) Run(ctx context.Context) error {
	f, err := os.OpenFile(x.opt.Kmsg, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		x.opt.Log.Warn("cannot read the kernel's log: XID events are not counted; give the agent CAP_SYSLOG", "error", err)
		<-ctx.Done()
		return nil
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil && !errors.Is(err, unix.ESPIPE) {
		x.opt.Log.Warn("kernel's log is read from its start: earlier XID events count again", "error", err)
	}
	lines := make(chan []byte)
	done := make(chan struct{})
	go func() {
		defer close(done)
		x.read(ctx, f, lines)
	}()
	x.count(ctx, lines)
	_ = f.Close()
	<-done
	return nil
}

// read hands over one record after the other.
func (x *Xids) read(ctx context.Context, f *os.File, lines chan<- []byte) {
	buf := make([]byte, 16<<10)
	for ctx.Err() == nil {
		n, err := f.Read(buf)
		switch {
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINVAL):
			continue // records were overwritten before they were read, or are too long
		case err != nil:
			if ctx.Err() == nil {
				x.opt.Log.Warn("kernel's log cannot be read any more: XID events are not counted", "error", err)
			}
			return
		}
		if !bytes.Contains(buf[:n], []byte("NVRM: Xid")) {
			continue
		}
		select {
		case lines <- bytes.Clone(buf[:n]):
		case <-ctx.Done():
		}
	}
}

// count owns the counters.
func (x *Xids) count(ctx context.Context, lines <-chan []byte) {
	every := x.opt.Interval.Milliseconds()
	timer := time.NewTimer(x.untilNext(every))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case line := <-lines:
			for l := range bytes.Lines(line) {
				if e, ok := parse(string(l)); ok {
					x.add(e)
					x.emit(true)
				}
			}
		case <-timer.C:
			x.emit(false)
			timer.Reset(x.untilNext(every))
		}
	}
}

func (x *Xids) untilNext(every int64) time.Duration {
	return time.Duration(every-x.opt.Clock()%every) * time.Millisecond
}

func (x *Xids) add(e event) {
	if x.counts[e] == 0 {
		x.order = append(x.order, e)
		slices.SortFunc(x.order, func(a, b event) int {
			if c := strings.Compare(a.gpu, b.gpu); c != 0 {
				return c
			}
			return a.code - b.code
		})
		series := make([]telemetry.Series, len(x.order))
		for i, e := range x.order {
			series[i] = telemetry.Series{Name: "gpu_xid_events_total", Kind: telemetry.Counter, Fresh: true, Labels: telemetry.NewLabels(map[string]string{
				"gpu": e.gpu, "xid": strconv.Itoa(e.code), "severity": meaning(e.code).severity, "action": meaning(e.code).action,
			})}
		}
		x.schema = telemetry.NewSchema(series)
	}
	x.counts[e]++
	x.opt.Log.Warn("GPU reports an XID event", "gpu", e.gpu, "xid", e.code, "severity", meaning(e.code).severity, "action", meaning(e.code).action, "count", x.counts[e])
}

func (x *Xids) emit(urgent bool) {
	if len(x.order) == 0 {
		return
	}
	r := telemetry.Round{Schema: x.schema, Time: x.opt.Clock(), Values: make([]float64, len(x.order)), Urgent: urgent}
	for i, e := range x.order {
		r.Values[i] = float64(x.counts[e])
	}
	x.opt.Sink(r)
}

// parse reads "…NVRM: Xid (PCI:0000:3b:00): 79, pid=…".
func parse(line string) (event, bool) {
	_, rest, ok := strings.Cut(line, "NVRM: Xid (")
	if !ok {
		return event{}, false
	}
	gpu, rest, ok := strings.Cut(rest, "): ")
	gpu = strings.TrimPrefix(gpu, "PCI:")
	if !ok || gpu == "" || len(gpu) > 64 {
		return event{}, false
	}
	n := 0
	for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
		n++
	}
	code, err := strconv.Atoi(rest[:n])
	if err != nil || code > 100_000 {
		return event{}, false
	}
	return event{gpu: strings.ToLower(gpu), code: code}, true
}
