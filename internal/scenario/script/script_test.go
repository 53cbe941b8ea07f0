package script

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nines/internal/yamlconf"
)

var update = flag.Bool("update", false, "write the golden files anew")

func parse(t *testing.T, text string) *Scenario {
	t.Helper()
	all, err := Parse("a.scenario", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 {
		t.Fatalf("%d scenarios, want 1", len(all))
	}
	return all[0]
}

func TestValues(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		s := parse(t, "rules r\nstart 2026-11-02\nload a every 5s\n  m "+text+"\nquiet\n")
		var got []string
		for _, r := range s.Loads[0].Series[0].Values {
			for k := range max(r.N, 1) {
				switch {
				case r.Missing:
					got = append(got, "_")
				case r.Events != nil:
					got = append(got, fmt.Sprint(r.Events))
				default:
					got = append(got, fmt.Sprint(r.At(k)))
				}
			}
			if r.N < 0 {
				got = append(got, "...")
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	f("1", "1")
	f("1*3 0*2", "1", "1", "1", "0", "0")
	f("1x2", "1", "1", "1") // as in Prometheus: one, and two more
	f("0+10x3", "0", "10", "20", "30")
	f("5-2*3", "5", "3", "1")
	f("1*15s", "1", "1", "1")
	f("0+10*2 +5*2 3", "0", "10", "15", "20", "3") // on from the last value; a reset
	f("1 _*2 stale Inf", "1", "_", "_", "_", "+Inf")
	f("(1 0)*2 1...", "1", "0", "1", "0", "1", "...")
	f("((1 0)*2 _)*2", "1", "0", "1", "0", "_", "1", "0", "1", "0", "_")
	f("(+1)*3", "1", "2", "3")
	f("[0.05:990 0.2:10]*2", "[{0.05 990} {0.2 10}]", "[{0.05 990} {0.2 10}]")
	f("1e-3+1e-3*2", "0.001", "0.002")
	f("-5-1*2", "-5", "-6")
}

func TestTimes(t *testing.T) {
	f := func(zone, text, want string) {
		t.Helper()
		s := parse(t, "rules r\nzone "+zone+"\nstart 2026-03-29T00:30\nat "+text+" quiet\n")
		if got := time.UnixMilli(s.Steps[0].At).UTC().Format(time.RFC3339Nano); got != want {
			t.Errorf("%s in %s: %s, want %s", text, zone, got, want)
		}
	}
	f("UTC", "10m15s", "2026-03-29T00:40:15Z")
	f("Europe/London", "90m", "2026-03-29T02:00:00Z") // by the clock on the wall 03:00
	f("Europe/London", "03:00", "2026-03-29T02:00:00Z")
	f("Europe/London", "03:00:01", "2026-03-29T02:00:01Z")
	f("Asia/Kolkata", "2026-03-30T10:15", "2026-03-30T04:45:00Z")
	f("UTC", "2026-03-30T10:15:00.250+01:00", "2026-03-30T09:15:00.25Z")
	f("UTC", "2026-04-01", "2026-04-01T00:00:00Z")
}

// TestWhatStandsFirstHoldsForAll: statements before the first scenario are those
// of each, and what one adds is its own.
func TestWhatStandsFirstHoldsForAll(t *testing.T) {
	all, err := Parse("a.scenario", []byte(`rules r
start 2026-11-02
agent a region=eu
load a every 5s
  m 1*3
scenario one
load b every 5s
  m 1
quiet
scenario two
quiet
at 5s quiet
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || len(all[0].Loads) != 2 || len(all[1].Loads) != 1 || len(all[0].Agents) != 2 || len(all[1].Agents) != 1 {
		t.Errorf("%+v", all)
	}
	if s := all[1].Steps; len(s) != 2 || s[0].At != all[1].Start+5000 || s[1].At != -1 {
		t.Errorf("steps are not in order of time: %+v", s)
	}
	if all[0].Name != "one" || all[1].Line != 10 {
		t.Errorf("%+v", all[1])
	}
}

// TestMistakes: each file of testdata holds one mistake in each statement; the
// golden file has what is said about them, with positions.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/*.scenario")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse(filepath.Base(file), data)
		var errs yamlconf.Errors
		if !errors.As(err, &errs) {
			t.Fatalf("%s: %v", file, err)
		}
		golden := strings.TrimSuffix(file, ".scenario") + ".txt"
		if *update {
			if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err2 := os.ReadFile(golden)
		if err2 != nil || err.Error()+"\n" != string(want) {
			t.Errorf("%s: got\n%v\nwant\n%s", file, err, want)
		}
		said := map[int]bool{}
		for _, e := range errs {
			said[e.Line] = true
		}
		for i, line := range strings.Split(string(data), "\n") {
			if strings.HasSuffix(line, "# wrong") && !said[i+1] {
				t.Errorf("%s:%d: nothing is said of %s", file, i+1, line)
			}
		}
	}
}

func TestTooMuchIsRefused(t *testing.T) {
	f := func(text string) {
		t.Helper()
		_, err := Parse("a", []byte("rules r\nstart 2026-11-02\nload a every 1s\n  m "+text+"\nquiet\n"))
		if err == nil || !strings.Contains(err.Error(), "a:4:") {
			t.Errorf("%s: %v", text, err)
		}
	}
	f("1*4000000")
	f("(1*3000000)*2")
	f("((((1 0)*100)*100)*100)*100")
	f("[1:2000]")
	f("1... 2")
	f("(1...)*2")
	_, err := Parse("a", []byte("rules r\nfacts\n  vm-{1..10000} down from 2026-11-01 for 1m every 1h *101\nsettle c 2026-11\n  slots.bad 1\n"))
	if err == nil || !strings.Contains(err.Error(), "a:3:3: makes too many facts") {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, glob := range []string{"testdata/*.scenario", "../../../configs/*/*.scenario", "../../../configs/contracts/templates/aws-e*.scenario"} {
		files, _ := filepath.Glob(glob)
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(data))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := Parse("a", []byte(text))
		var errs yamlconf.Errors
		if err != nil && !errors.As(err, &errs) {
			t.Fatalf("an error without a position: %v", err)
		}
		if (err == nil) != (len(all) > 0) {
			t.Fatalf("%d scenarios and %v", len(all), err)
		}
		for _, e := range errs {
			if e.Line < 1 || e.Col < 1 || e.Reason == "" {
				t.Errorf("a mistake without a place or words: %+v", e)
			}
		}
		for _, s := range all {
			if !slices.ContainsFunc(s.Steps, func(s Step) bool { return s.Expects() }) {
				t.Errorf("%s expects nothing", s.Name)
			}
			for _, l := range s.Loads {
				for _, series := range l.Series {
					if n, _ := series.Values.Len(); n > maxSamples {
						t.Errorf("%d samples", n)
					}
				}
			}
		}
	})
}
