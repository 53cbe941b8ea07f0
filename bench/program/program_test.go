package program

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

func TestAProcessIsMeasuredAndEnds(t *testing.T) {
	dir := t.TempDir()
	p, err := Start(dir, "shell", "/bin/sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done; exec sleep 60")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err = Until(ctx, "the shell has counted", []*Process{p}, func() (bool, error) {
		b, err := os.ReadFile(p.Log())
		return strings.Contains(string(b), "done"), err
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := p.Usage()
	if err != nil || u.CPU < 20*time.Millisecond || u.RSS < 1<<18 {
		t.Errorf("used %+v, %v", u, err)
	}
	p.Stop()
	if _, err := p.Usage(); err == nil {
		t.Error("a process that has ended is still measured")
	}
	q, err := Start(dir, "false", "/bin/sh", "-c", "echo went wrong; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Wait(ctx); err == nil || !strings.Contains(err.Error(), "went wrong") {
		t.Errorf("a failure is told as %v", err)
	}
}

func TestMetricSumsTheSeries(t *testing.T) {
	text := "# HELP x of it\nx{a=\"1\"} 2\nx{a=\"2\"} 3\nxy 7\nz 1e3\n"
	f := func(name string, want float64, found bool) {
		t.Helper()
		if got, ok := Metric(text, name); got != want || ok != found {
			t.Errorf("%s is %v, %v; want %v, %v", name, got, ok, want, found)
		}
	}
	f("x", 5, true)
	f(`x{a="2"}`, 3, true)
	f("z", 1000, true)
	f("y", 0, false)
}

// What a program starts is charged to it: a shell that does nothing itself.
func TestChildrenAreCharged(t *testing.T) {
	p, err := Start(t.TempDir(), "shell", "/bin/sh", "-c", "sh -c 'i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done'; echo done; exec sleep 60")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err = Until(ctx, "the child has counted", []*Process{p}, func() (bool, error) {
		b, err := os.ReadFile(p.Log())
		return strings.Contains(string(b), "done"), err
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := p.Usage()
	if err != nil || u.CPU < 20*time.Millisecond {
		t.Errorf("used %+v, %v", u, err)
	}
	if rss, err := p.Resident(); err != nil || rss < 1<<16 || rss > u.RSS {
		t.Errorf("%d bytes are resident, at most %d were: %v", rss, u.RSS, err)
	}
}
