package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func fake(name string, values ...float64) benchmark {
	return benchmark{Name: name, Unit: "u", Better: lower, Target: 2, Prepare: func() (func() (float64, error), error) {
		i := 0
		return func() (float64, error) { i++; return values[i-1], nil }, nil
	}}
}

func TestEveryBenchmarkSaysWhatItMeasures(t *testing.T) {
	var seen []string
	for _, b := range benchmarks(&sideBySide{}) {
		if b.Name == "" || b.Unit == "" || b.Prepare == nil || b.Better != higher && b.Better != lower || slices.Contains(seen, b.Name) {
			t.Errorf("benchmark %+v is incomplete or doubled", b)
		}
		seen = append(seen, b.Name)
	}
	for _, want := range []string{"frame_decode", "frame_encode", "wire_bytes_per_sample"} {
		if !slices.Contains(seen, want) {
			t.Errorf("no benchmark %s among %v", want, seen)
		}
	}
}

func TestMeasureTakesTheMedian(t *testing.T) {
	f := func(want result, values ...float64) {
		t.Helper()
		got, err := measure(fake("x", values...), len(values))
		if err != nil || got != want {
			t.Errorf("%v: %+v, %v; want %+v", values, got, err, want)
		}
	}
	f(result{"x", "u", lower, 1, 3, 9, 3, 2}, 9, 1, 3)
	f(result{"x", "u", lower, 1, 2, 3, 2, 2}, 3, 1)
	f(result{"x", "u", lower, 4, 4, 4, 1, 2}, 4)
}

func TestChooseNamesWhatThereIs(t *testing.T) {
	all := []benchmark{fake("a"), fake("b")}
	got, err := choose(all, " b ,a")
	if err != nil || names(got) != "b, a" {
		t.Errorf("chose %s, %v", names(got), err)
	}
	if _, err := choose(all, "c"); err == nil || !strings.Contains(err.Error(), "a, b") {
		t.Errorf("unknown name: %v", err)
	}
}

func TestResultsAreWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	r := result{Name: "x", Unit: "B", Better: lower, Min: 1, Median: 3, Max: 4, Runs: 3, Target: 2}
	if err := save(path, []result{r}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []result
	if err := json.Unmarshal(b, &got); err != nil || len(got) != 1 || got[0] != r {
		t.Errorf("read %s, %v", b, err)
	}
	var text strings.Builder
	if err := table(&text, got); err != nil || !strings.Contains(text.String(), "≤ 2 MISSED") {
		t.Errorf("table %q, %v", text.String(), err)
	}
}

func TestFrameHasOneHundredSamples(t *testing.T) {
	if n := samples(hostFrame()); n != 100 {
		t.Errorf("%d samples, want 100", n)
	}
}

// A benchmark that fails is told at the end and takes no other's figure with it.
func TestAFailureTakesNoFigureWithIt(t *testing.T) {
	bad := fake("bad", 1)
	bad.Prepare = func() (func() (float64, error), error) { return nil, errors.New("the disk is full") }
	path := filepath.Join(t.TempDir(), "results.json")
	var out strings.Builder
	err := runChosen(&out, &sideBySide{}, []benchmark{fake("first", 1), bad, fake("last", 3)}, 1, path)
	if err == nil || !strings.Contains(err.Error(), "run bad: prepare: the disk is full") {
		t.Errorf("told %v", err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", "last"} {
		if !strings.Contains(string(b), want) || !strings.Contains(out.String(), want) {
			t.Errorf("%s is missing in %s and %s", want, b, out.String())
		}
	}
}
