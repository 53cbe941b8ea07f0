package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tested runs nines test.
func tested(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(append([]string{"test"}, args...))
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(context.Background())
	return out.String(), err
}

const smallRules = `apiVersion: nines/v1
kind: SLA
metadata: {name: shop}
spec:
  customer: bank
  timeZone: UTC
  period: month
  fee: {amount: "10000.00", currency: USD}
  objectives:
    - name: availability
      sli: {metric: probe_success, op: gte, value: 1, groupBy: [target]}
      slot: {length: 1m, badWhen: unreachable}
      unknown: exclude
      denominator: calendar
      aggregation: pooled
      tiers:
        - {below: "99.975", credit: "10"}
`

const smallScenarios = `rules shop.yaml
start 2026-11-01
scenario ten minutes
facts
  vm-1 down from 0m for 10m
settle shop 2026-11
  credit.amount 0.00
scenario eleven minutes
facts
  vm-1 down from 0m for 11m
settle shop 2026-11
  credit.amount WANT
`

func TestNinesTest(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sub", "shop.scenario")
	put := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(filepath.Join(dir, "sub", "shop.yaml"), smallRules)
	put(file, strings.Replace(smallScenarios, "WANT", "1000.00", 1))
	out, err := tested(t, dir)
	if err != nil || !strings.Contains(out, "ok    "+file+": ten minutes") || !strings.Contains(out, "2 scenarios passed") {
		t.Errorf("%v\n%s", err, out)
	}
	put(file, strings.Replace(smallScenarios, "WANT", "500.00", 1))
	out, err = tested(t, file)
	if f := (failure{}); !errors.As(err, &f) || err.Error() != "test: 1 of 2 scenarios failed" {
		t.Errorf("%v, want exit code 1", err)
	}
	if !strings.Contains(out, file+":12:3: expected credit.amount 500.00 in the settlement of shop for 2026-11, got 1000.00\n") {
		t.Error(out)
	}
	out, _ = tested(t, "--json", "--run", "eleven", file)
	var row struct {
		Scenario string
		OK       bool
		Failures []struct{ Line int }
	}
	if err := json.Unmarshal([]byte(out), &row); err != nil || row.OK || row.Scenario != "eleven minutes" || len(row.Failures) != 1 || row.Failures[0].Line != 12 {
		t.Errorf("%v %+v\n%s", err, row, out)
	}
	put(file, "rules shop.yaml\nstart today\nquiet\n")
	_, err = tested(t, file)
	if f := (failure{}); err == nil || errors.As(err, &f) || !strings.HasPrefix(err.Error(), file+":2:7: want a time") {
		t.Errorf("%v, want exit code 2", err)
	}
	put(file, "rules none.yaml\nquiet\n")
	_, err = tested(t, file)
	if f := (failure{}); err == nil || errors.As(err, &f) || !strings.HasPrefix(err.Error(), file+":1:7: is no file") {
		t.Errorf("%v, want exit code 2", err)
	}
	if _, err := tested(t, filepath.Join(dir, "sub", "shop.yaml")); err == nil {
		t.Error("a file of rules passed for scenarios")
	}
}

// TestWrittenScenariosRun: what nines init writes can be tested where it lies.
func TestWrittenScenariosRun(t *testing.T) {
	dir := t.TempDir()
	root := newRoot()
	root.SetArgs([]string{"init", dir})
	root.SetOut(&bytes.Buffer{})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	out, err := tested(t, filepath.Join(dir, "contracts", "example.scenario"), filepath.Join(dir, "scenarios", "runs.scenario"), filepath.Join(dir, "contracts", "templates", "aws-bedrock.scenario"))
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
