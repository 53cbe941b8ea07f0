package gpu

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"nines/internal/telemetry"
)

func TestParse(t *testing.T) {
	f := func(line string, want event, ok bool) {
		t.Helper()
		if got, found := parse(line); got != want || found != ok {
			t.Errorf("%q: %+v, %v", line, got, found)
		}
	}
	f("4,1234,5678,-;NVRM: Xid (PCI:0000:3B:00): 79, pid=1, GPU has fallen off the bus.\n", event{"0000:3b:00", 79}, true)
	f("NVRM: Xid (0000:03:00): 13, 0005 00000000", event{"0000:03:00", 13}, true)
	f("NVRM: Xid (PCI:0000:3b:00): , x", event{}, false)
	f("NVRM: Xid (PCI:0000:3b:00", event{}, false)
	f("NVRM: loading NVIDIA UNIX x86_64 Kernel Module", event{}, false)
}

func TestSecondEqualXidCounts(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	kmsg := filepath.Join(t.TempDir(), "kmsg")
	if err := unix.Mkfifo(kmsg, 0o600); err != nil {
		t.Skipf("no FIFO here: %v", err)
	}
	rounds := make(chan telemetry.Round, 16)
	x, err := New(Options{Kmsg: kmsg, Interval: time.Hour, Clock: func() int64 { return 1000 }, Sink: func(r telemetry.Round) { rounds <- r }})
	if err != nil {
		t.Fatal(err)
	}
	// Opened for both, so that neither side waits for the other.
	w, err := os.OpenFile(kmsg, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	for i := range 2 {
		if _, err := w.WriteString("6,1,2,-;usb 1-1: new device\n3,1,2,-;NVRM: Xid (PCI:0000:3b:00): 63, x\n"); err != nil {
			t.Fatal(err)
		}
		select {
		case r := <-rounds:
			if !r.Urgent || r.Values[0] != float64(i+1) || !r.Schema.Series[0].Fresh {
				t.Errorf("round %+v", r)
			}
			if got := r.Schema.Series[0].Labels.String(); got != `{action="reset the GPU when it is idle",gpu="0000:3b:00",severity="warning",xid="63"}` {
				t.Errorf("labels %s", got)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("no round came")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestUnreadableLogIsNoReasonToStop(t *testing.T) {
	x, err := New(Options{Kmsg: filepath.Join(t.TempDir(), "none"), Clock: func() int64 { return 1 }, Sink: func(telemetry.Round) {}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := x.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("NVRM: Xid (PCI:0000:3b:00): 79, pid=1")
	f.Add("NVRM: Xid (PCI:): 0") // no address
	f.Add("NVRM: Xid (): 9999999999999999999999")
	f.Fuzz(func(t *testing.T, line string) {
		if e, ok := parse(line); ok && (e.gpu == "" || e.code < 0) {
			t.Fatalf("%+v", e)
		}
	})
}

func TestEveryXidSaysWhatToDo(t *testing.T) {
	f := func(code int, want xid) {
		t.Helper()
		if got := meaning(code); got != want {
			t.Errorf("XID %d: %+v, want %+v", code, got, want)
		}
	}
	f(13, xid{"application", fixProgram})
	f(48, xid{"critical", resetGPU})
	f(63, xid{"warning", resetLater})
	f(64, xid{"critical", replaceGPU})
	f(74, xid{"critical", checkLink})
	f(79, xid{"critical", rebootHost})
	f(94, xid{"warning", resetLater})
	f(95, xid{"critical", resetGPU})
	f(99_999, xid{"warning", watchIt})
	for code := range 1000 {
		m := meaning(code)
		if m.action == "" || m.severity == "critical" && (m.action == watchIt || m.action == fixProgram) || (m.severity == "application") != (m.action == fixProgram) {
			t.Errorf("XID %d: %+v", code, m)
		}
	}
}
