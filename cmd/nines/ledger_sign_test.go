package main

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nines/collector/notary"
	"nines/internal/ledger"
)

// An auditor's way: a checkpoint goes out, the ledger is rewritten, verify says
// where; and a customer's proof is checked without the ledger.
func TestLedgerAudit(t *testing.T) {
	dir := t.TempDir()
	data, mail, pub, proof := filepath.Join(dir, "data"), filepath.Join(dir, "mail"), filepath.Join(dir, "nines.pub"), filepath.Join(dir, "proof.json")
	fill(t, data)
	f := func(wantCode int, words string, args ...string) string {
		t.Helper()
		out, code, err := nines(append([]string{"ledger"}, args...)...)
		printed := out
		if err != nil {
			out += err.Error()
		}
		if code != wantCode || !strings.Contains(out, words) {
			t.Fatalf("nines ledger %v: exit code %d, want %d and %q: %s", args, code, wantCode, words, out)
		}
		return printed
	}
	keep := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f(1, "log is empty", "checkpoint", "--data-dir", data) // the hour has not closed
	f(0, "no hour has been logged", "verify", "--data-dir", data)
	f(1, "no checkpoint was signed", "prove", "--data-dir", data, "--group", "target=web-1", "--hour", "2026-11-21T10:00:00Z")
	later(t, data)
	keep(mail, f(0, "\ntime 2026-11-21T12:00:00Z\n\n— ", "checkpoint", "--data-dir", data))
	keep(pub, f(0, "+", "key", "--data-dir", data))
	signed := []string{"--checkpoint", mail, "--public-key", pub}
	f(0, "checkpoints: 1, the newest signed 2026-11-21T12:00:00Z; the log continues them all", "verify", "--data-dir", data)
	f(0, "hours from 2026-11-21T10:00:00Z to 2026-11-21T11:00:00Z are what was logged", append([]string{"verify", "--data-dir", data}, signed...)...)
	keep(proof, f(0, `"checkpoint": "nines ledger `, "prove", "--data-dir", data, "--group", "target=web-1", "--hour", "2026-11-21T10:59:00Z"))
	f(0, `" v1 bad 1/3 blind 0 written 70000 "unreachable"`[1:], "check-proof", proof, "--public-key", pub)
	stranger, _, err := notary.OpenKey(filepath.Join(dir, "stranger.key"), "stranger")
	if err != nil {
		t.Fatal(err)
	}
	f(1, "none of the given", "check-proof", proof, "--public-key", stranger.Public)
	f(2, "--public-key", "check-proof", proof)
	f(2, "--hour", "prove", "--data-dir", data, "--hour", "noon")
	f(1, "the ledger has no group with the labels target=x", "prove", "--data-dir", data, "--group", "target=x", "--hour", "2026-11-21T10:00:00Z")

	if err := os.Rename(filepath.Join(data, "checkpoint.key"), filepath.Join(dir, "old.key")); err != nil {
		t.Fatal(err)
	}
	f(0, "time 2026", "checkpoint", "--data-dir", data) // by a new key
	f(0, "checkpoints: 2", "verify", "--data-dir", data)
	f(1, "none of the given public keys", "verify", "--data-dir", data, "--public-key", pub)
	f(0, "+", "key", "--rotate", "--data-dir", data)
	f(0, "checkpoints: 2", "verify", "--data-dir", data)

	db, err := sql.Open("sqlite", filepath.Join(data, "ledger", ledger.FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(q string) {
		t.Helper()
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	exec(`DELETE FROM slot_versions`) // it never was bad
	f(1, "hour 2026-11-21T10:00:00Z, group {region=\"r1\",target=\"web-1\"} of stream 00aa: the slots are not those that were logged",
		append([]string{"verify", "--data-dir", data}, signed...)...)
	f(1, "is not what was logged", "prove", "--data-dir", data, "--group", "target=web-1", "--hour", "2026-11-21T10:00:00Z")
	exec(`DELETE FROM log_hours`)
	exec(`UPDATE log_state SET until = 0`)
	relog(t, data)
	f(1, "the ledger was rewritten: the first 1 leaves of the log are not those that a checkpoint was signed over",
		append([]string{"verify", "--data-dir", data}, signed...)...)
}

// later lets two hours of log time pass.
func later(t *testing.T, dir string) {
	t.Helper()
	onLedger(t, dir, func(ctx context.Context, led *ledger.Ledger) error {
		c, err := led.Claim(ctx, 0, "test")
		if err != nil {
			return err
		}
		return led.Commit(ctx, c, &ledger.Batch{Offset: 9, LogTime: slotStart + 115*60_000})
	})
}

func relog(t *testing.T, dir string) {
	t.Helper()
	onLedger(t, dir, func(ctx context.Context, led *ledger.Ledger) error {
		_, err := led.Log(ctx, slotStart+120*60_000)
		return err
	})
}

func onLedger(t *testing.T, dir string, f func(context.Context, *ledger.Ledger) error) {
	t.Helper()
	ctx := context.Background()
	led, err := ledger.Open(ctx, ledger.Options{Path: ledgerPath(dir)})
	if err != nil {
		t.Fatal(err)
	}
	if err := f(ctx, led); err != nil {
		t.Fatal(err)
	}
	if err := led.Close(); err != nil {
		t.Fatal(err)
	}
}
