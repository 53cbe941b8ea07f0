package main

import (
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/rules"
)

func TestInventoryCommands(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	f := func(code int, want string, args ...string) string {
		t.Helper()
		out, got, err := nines(append(args, "--data-dir", dir)...)
		text := out
		if err != nil {
			text = err.Error()
		}
		if got != code || !strings.Contains(text, want) {
			t.Errorf("nines %s: exit %d, want %d and %q:\n%s", strings.Join(args, " "), got, code, want, text)
		}
		return out
	}
	file := write(t, "i.csv", "resource,from,match.target,state,customer,contract,fee\nweb,2026-11-01T00:00:00Z,web-1,running,bank,shop,100 USD\n")
	f(0, "5 of 5 facts would be recorded: 5 new", "inventory", "import", file, "--dry-run")
	f(0, "+ web from 2026-11-01T00:00:00Z: fee 100.00 USD", "inventory", "import", file, "--reason", "order", "--author", "ann")
	f(0, "0 of 5 facts recorded", "inventory", "import", file, "--reason", "order")
	f(0, "~ web from 2026-11-01T00:00:00Z: fee 120.00 USD, corrects 100.00 USD (ann, order)", "inventory", "set", "web", "--from", "2026-11-01T00:00:00Z", "fee=120 USD", "--reason", "typing error")
	f(2, "--reason: a reason is required", "inventory", "set", "web", "--from", "2026-11-20T00:00:00Z", "state=stopped")
	f(2, "set: state: want running, stopped or suspended", "inventory", "set", "web", "--from", "2026-11-20T00:00:00Z", "state=gone", "--reason", "x")
	f(2, "want ATTRIBUTE=VALUE", "inventory", "set", "web", "--from", "2026-11-20T00:00:00Z", "stopped", "--reason", "x")
	f(2, "set: from: want a time with its offset", "inventory", "set", "web", "--from", "today", "state=stopped", "--reason", "x")
	f(2, "it is stopped before it was ever running", "inventory", "set", "new", "--from", "2026-11-20T00:00:00Z", "match.target=n", "state=stopped", "--reason", "x")
	f(2, "i.yaml:1:1: want apiVersion", "inventory", "import", write(t, "i.yaml", "kind: x\n"), "--reason", "x")
	f(0, `web       running  2026-11-01T00:00:00Z  bank`, "inventory", "show")
	f(1, `no resource "other"`, "inventory", "show", "other")
	f(1, `no resource "other"`, "inventory", "history", "web", "other")
	f(0, "no resource is known", "inventory", "show", "--known-at", "2020-01-01T00:00:00Z")
	f(0, "the inventory is empty", "inventory", "history", "--known-at", "2020-01-01T00:00:00Z")
	f(0, "typing error", "inventory", "history", "web")
	var records []inventory.Record
	if err := json.Unmarshal([]byte(f(0, "", "inventory", "history", "--format", "json")), &records); err != nil || len(records) != 6 {
		t.Errorf("%v (%v)", records, err)
	}
	f(2, "--format", "inventory", "show", "--format", "xml")
	f(2, "--known-at: want a time", "inventory", "show", "--known-at", "yesterday")
}

func TestCheckInventoryTable(t *testing.T) {
	f := func(rows string, code int, want string) {
		t.Helper()
		out, got, err := nines("check", write(t, "i.csv", "resource,from,match.target,state\n"+rows))
		if err != nil {
			out = err.Error()
		}
		if got != code || !strings.Contains(out, want) {
			t.Errorf("exit %d, want %d and %q:\n%s", got, code, want, out)
		}
	}
	f("web,2026-11-01T00:00:00Z,web-1,running\n", 0, "i.csv: inventory, no mistakes")
	f("web,2026-11-01T00:00:00Z,web-1,running\nall,2026-11-01T00:00:00Z,web-1,running\n", 2, "a group belongs to one resource")
	f("web,today,web-1,running\n", 2, "i.csv:2:5: ")
	if _, code, err := nines("check", t.TempDir()); code != 2 || !strings.Contains(err.Error(), "no file to check") {
		t.Errorf("a folder without files: exit %d, %v", code, err)
	}
}

func TestCheckSaysWhatANarrowerMatchTakes(t *testing.T) {
	file := write(t, "i.csv", "resource,from,match.service,match.node,state\nlb,2026-11-01T00:00:00Z,lb,,running\nnode,2026-11-10T00:00:00Z,lb,2,running\n")
	out, code, err := nines("check", file)
	want := file + ": inventory, no mistakes\n  groups of node=\"2\",service=\"lb\" from 2026-11-10T00:00:00Z are node's, whose match names more labels; lb is judged by its other groups only, and by none while it has no other\n"
	if err != nil || code != 0 || out != want {
		t.Errorf("exit %d (%v):\n%s\nwant\n%s", code, err, out, want)
	}
	if out, _, err := nines("check", "--quiet", file); err != nil || out != "" {
		t.Errorf("quiet (%v):\n%s", err, out)
	}
}

func TestInventoryWarnsOfContractsThatAreNotInForce(t *testing.T) {
	dir := t.TempDir()
	fillRules(t, dir)
	f := func(change, want string) {
		t.Helper()
		root := newRoot()
		var errs strings.Builder
		root.SetArgs([]string{"inventory", "set", "web", "--from", "2026-11-01T00:00:00Z", "match.target=web-1", "state=running", change, "--dry-run", "--data-dir", dir})
		root.SetOut(io.Discard)
		root.SetErr(&errs)
		if err := root.Execute(); err != nil || errs.String() != want {
			t.Errorf("%s: %q (%v), want %q", change, errs.String(), err, want)
		}
	}
	f("contract=example", "")
	f("contract=exmple", "warning: no contract exmple is in force; there are: example\n")
	f("contract=none", "")
}

// fillRules makes a ledger in which the shipped objectives and contract are in force.
func fillRules(t *testing.T, dir string) {
	t.Helper()
	set, err := rules.Load([]string{filepath.Join("..", "..", "configs", "contracts", "example.yaml"), filepath.Join("..", "..", "configs", "objectives")})
	if err != nil {
		t.Fatal(err)
	}
	led, err := ledger.Open(context.Background(), ledger.Options{Path: ledgerPath(dir)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := led.Claim(context.Background(), 0, "test")
	if err == nil {
		err = led.Commit(context.Background(), c, &ledger.Batch{Offset: 1, LogTime: slotStart, RuleSetID: set.RuleSet.ID(), RuleSet: set.RuleSet})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := led.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestExclusionCommands(t *testing.T) {
	dir := t.TempDir()
	fillRules(t, dir)
	f := func(code int, want string, args ...string) {
		t.Helper()
		out, got, err := nines(append(append([]string{"exclusion"}, args...), "--data-dir", dir)...)
		if err != nil {
			out = err.Error()
		}
		if got != code || !strings.Contains(out, want) {
			t.Errorf("nines exclusion %s: exit %d, want %d and %q:\n%s", strings.Join(args, " "), got, code, want, out)
		}
	}
	const works = "exclusions:\n- start: 2026-11-12T22:00:00Z\n  end: 2026-11-12T23:00:00Z\n  effect: removed\n  category: works\n  reason: switches\n  author: ann\n"
	f(0, "no exclusions", "list")
	f(0, "exclusion 1 of example proposed by ann: switches", "propose", "--file", write(t, "x.yaml", works))
	f(2, "leave it out", "propose", "--file", write(t, "x.yaml", works+"  approvedBy: ben\n"))
	f(2, "x.yaml:4:", "propose", "--file", write(t, "x.yaml", strings.Replace(works, "removed", "gone", 1)))
	f(1, `no contract "other"; there are: example`, "propose", "--contract", "other", "--file", write(t, "x.yaml", works))
	f(1, "somebody else has to approve it", "approve", "1", "--author", "ann")
	f(0, "exclusion 1 of example is approved", "approve", "1", "--author", "ben")
	f(1, "a reason is required", "withdraw", "1", "--author", "ben")
	f(2, "want the number of an exclusion", "approve", "x")
	f(0, "approve by ben", "list", "--contract", "example")
}
