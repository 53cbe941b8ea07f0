package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// settled runs nines settle in a folder with the given files.
func settled(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(append([]string{"settle"}, args...))
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(context.Background())
	return out.String(), err
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

const overlapFacts = `resource,zone,start,end,state,value
i-1,,2026-11-02T10:50:00Z,2026-11-02T11:10:00Z,down,
i-1,,2026-11-02T11:10:00Z,2026-11-02T11:40:00Z,unknown,
`

const overlapExclusions = `exclusions:
  - {start: "2026-11-02T10:30:00Z", end: "2026-11-02T11:00:00Z", effect: removed, category: maintenance, reason: switch replaced, author: lee, approvedBy: kim}
  - {start: "2026-11-02T11:05:00Z", end: "2026-11-02T11:15:00Z", effect: removed, category: maintenance, reason: switch replaced, author: lee, approvedBy: kim}
  - {start: "2026-11-02T12:00:00Z", end: "2026-11-02T13:00:00Z", effect: removed, category: customer, reason: own change, author: lee}
`

func TestSettle(t *testing.T) { // case 2 of the contracts' cases
	const contract = "../../configs/contracts/templates/alibaba-ecs-reservation.yaml"
	facts, exclusions := write(t, "facts.csv", overlapFacts), write(t, "exclusions.yaml", overlapExclusions)
	for _, format := range []string{"json", "table"} {
		got, err := settled(t, "--contract", contract, "--facts", facts, "--exclusions", exclusions, "--period", "2026-11", "--format", format)
		if err != nil {
			t.Fatal(err)
		}
		file := "testdata/settle." + format
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("differs from %s (write it anew with -update):\n%s", file, got)
		}
		if format != "json" {
			continue
		}
		var keys map[string]json.RawMessage
		if err := json.Unmarshal([]byte(got), &keys); err != nil {
			t.Fatal(err)
		}
		names := slices.Sorted(maps.Keys(keys))
		if strings.Join(names, " ") != "attainment_pct bounds contract coverage_pct credit objectives period slots steps time_zone" {
			t.Errorf("keys %v", names)
		}
		if string(keys["attainment_pct"]) != `"99.98840"` || string(keys["coverage_pct"]) != `"99.94207"` {
			t.Errorf("%s %s", keys["attainment_pct"], keys["coverage_pct"])
		}
	}
}

func TestSettleRefuses(t *testing.T) {
	const contract = "../../configs/contracts/templates/alibaba-cen.yaml"
	facts := write(t, "facts.csv", overlapFacts)
	f := func(want string, args ...string) {
		t.Helper()
		_, err := settled(t, args...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		} else if code := report(err); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
	f(`required flag(s) "contract", "facts", "period" not set`)
	f("must be table, json or facts", "--contract", contract, "--facts", facts, "--period", "2026-11", "--format", "xml")
	f("write it as 2026-11", "--contract", contract, "--facts", facts, "--period", "November")
	f("no such file", "--contract", "none.yaml", "--facts", facts, "--period", "2026-11")
	f("no such file", "--contract", contract, "--facts", "none.csv", "--period", "2026-11")
	f("no such file", "--contract", contract, "--facts", facts, "--exclusions", "none.yaml", "--period", "2026-11")
	f("facts.csv:2:1: want 6 columns, got 1", "--contract", contract, "--facts", write(t, "facts.csv", "resource,zone,start,end,state,value\nx\n"), "--period", "2026-11")
	f("x.yaml:1:23: exclusions[0].start", "--contract", contract, "--facts", facts, "--exclusions", write(t, "x.yaml", "exclusions: [ {start: now, end: now, effect: gone, category: c, reason: r, author: a} ]"), "--period", "2026-11")
	f("c.yaml:1:13: apiVersion: want", "--contract", write(t, "c.yaml", "apiVersion: v2"), "--facts", facts, "--period", "2026-11")
	f("no contract in it", "--contract", "../../configs/objectives", "--facts", facts, "--period", "2026-11")
	f("want one of alibaba-cen, aws-bedrock", "--contract", contract, "--contract", "../../configs/contracts/templates/aws-bedrock.yaml", "--facts", facts, "--period", "2026-11")
}
