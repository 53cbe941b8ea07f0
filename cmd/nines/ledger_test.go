package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nines/internal/ledger"
	"nines/internal/sla"
	"nines/internal/sla/slot"
	"nines/internal/telemetry"
	"nines/internal/wire"
)

// nines runs a command line and returns what it prints and its exit code.
func nines(args ...string) (out string, code int, err error) {
	var b bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&b)
	err = root.ExecuteContext(context.Background())
	switch f := (failure{}); {
	case err == nil:
	case errors.As(err, &f):
		code = exitFailure
	default:
		code = exitUsage
	}
	return b.String(), code, err
}

const slotStart = int64(1_795_255_500_000) // 2026-11-21T10:05:00Z

// fill makes a ledger with one slot that was bad and is good since.
func fill(t *testing.T, dir string) {
	t.Helper()
	ctx := context.Background()
	led, err := ledger.Open(ctx, ledger.Options{Path: ledgerPath(dir)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := led.Claim(ctx, 0, "test")
	if err != nil {
		t.Fatal(err)
	}
	labels := telemetry.NewLabels(map[string]string{"target": "web-1", "region": "r1"})
	key := wire.GroupKey{Stream: "00aa", Labels: labels.Hash()}
	bad := ledger.Slot{
		Start: slotStart, State: sla.Bad, Version: 1, Good: 1, Total: 3, Reason: slot.ReasonUnreachable,
		Vantages: []sla.Bins{{Vantage: "eu-1", OK: []uint64{1}, Fail: []uint64{6}, Missing: []uint64{8}}},
	}
	good := ledger.Slot{Start: slotStart, State: sla.Good, Version: 2, Good: 3, Total: 3}
	next := ledger.Slot{Start: slotStart + 60_000, State: sla.Good, Version: 1, Good: 3, Total: 3, Complete: []string{"eu-1"}}
	for i, b := range []ledger.Batch{
		{LogTime: slotStart + 70_000, Groups: []ledger.Group{{Key: key, Labels: labels, Customer: "bank", FirstSlot: slotStart}},
			Slots: []ledger.SlotChange{{Group: key, Slot: bad}}},
		{LogTime: slotStart + 600_000, Slots: []ledger.SlotChange{{Group: key, Slot: good}, {Group: key, Slot: next}}},
	} {
		b.Offset = int64(i + 1)
		if err := led.Commit(ctx, c, &b); err != nil {
			t.Fatal(err)
		}
	}
	if err := led.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLedgerCommands(t *testing.T) {
	dir := t.TempDir()
	data, second, file := filepath.Join(dir, "data"), filepath.Join(dir, "second"), filepath.Join(dir, "copy.db")
	fill(t, data)
	f := func(wantCode int, words string, args ...string) string {
		t.Helper()
		out, code, err := nines(append([]string{"ledger"}, args...)...)
		if err != nil {
			out += err.Error()
		}
		if code != wantCode {
			t.Fatalf("nines ledger %v: exit code %d, want %d: %s", args, code, wantCode, out)
		}
		if !strings.Contains(out, words) {
			t.Fatalf("nines ledger %v says %q, not %q", args, out, words)
		}
		return out
	}
	f(0, "no faults", "verify", "--data-dir", data)
	f(0, "MB", "backup", file, "--data-dir", data)
	f(1, "exists", "backup", file, "--data-dir", data)
	f(0, "no faults", "verify", file)
	f(1, "not empty", "restore", file, "--data-dir", data)
	f(1, "--data-dir", "verify", "--data-dir", second)
	f(1, "no such file", "restore", filepath.Join(dir, "absent"), "--data-dir", second)
	f(0, "restored and verified", "restore", file, "--data-dir", second)
	f(2, "accepts 1 arg", "backup")

	const group = "region=r1 target=web-1, customer bank (stream 00aa)\n"
	const restated = `  slot 2026-11-21T10:05:00Z
    version 1, written 2026-11-21T10:06:10Z: bad, 1 of 3 good, unreachable
      from eu-1: 1 bins ok, 2 failed, 1 blind
    version 2, written 2026-11-21T10:15:00Z: good, 3 of 3 good
`
	const next = "  slot 2026-11-21T10:06:00Z\n    version 1, written 2026-11-21T10:15:00Z: good, 3 of 3 good\n" +
		"      from eu-1: every bin ok\n"
	for _, d := range []string{data, second} {
		h := func(want string, args ...string) {
			t.Helper()
			if got := f(0, "", append([]string{"history", "--data-dir", d}, args...)...); got != want {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
		}
		h(group+restated, "--from", "2026-11-21", "--to", "2026-11-22")
		h(group+restated, "--from", "2026-11-21", "--to", "2026-11-22", "--not-good", "--group", "target=web-1,region=r1")
		h(group+restated, "--at", "2026-11-21T10:05:59Z")
		h(group+next, "--at", "2026-11-21T10:06:00Z")
		h("no slot was decided anew (--not-good prints bad and unknown ones, too) in 1 group(s)\n", "--from", "2026-11-20", "--to", "2026-11-21")
	}
	f(0, `"evidence":[{"vantage":"eu-1","ok":1,"failed":2,"blind":1}]`, "history", "--data-dir", data, "--at", "2026-11-21T10:05:59Z", "--json")
	f(0, `"complete":["eu-1"]`, "history", "--data-dir", data, "--at", "2026-11-21T10:06:00Z", "--json")
	f(1, "no such group", "history", "--data-dir", data, "--at", "2026-11-21", "--group", "target=x")
	f(1, "no rules yet", "history", "--data-dir", data, "--at", "2026-11-21", "--contract", "gold")
	f(2, "--at", "history", "--data-dir", data)
	f(2, "name=value", "history", "--data-dir", data, "--at", "2026-11-21", "--group", "target")
	f(2, "2026-11-21", "history", "--data-dir", data, "--at", "yesterday")
	f(2, "before --to", "history", "--data-dir", data, "--from", "2026-11-21", "--to", "2026-11-20")

	if err := os.WriteFile(file, []byte(strings.Repeat("no ledger. ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	f(1, "damaged", "verify", file)
}

func TestBar(t *testing.T) {
	b := bar{what: "restoring"}
	if got, want := b.line(50, 100, 20e9), "restoring [###############...............]  50 %  20s left"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}
