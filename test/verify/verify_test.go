// Package verify holds nines' settlements against the second opinion in
// docs/verify, which was written from the documentation alone.
package verify

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"nines/statement"
)

var (
	settlements = flag.Int("settlements", 1000, "how many random settlements both compute")
	seed        = flag.Uint64("seed", 1, "what they are drawn from")
)

const opinion = "../../docs/verify/nines_verify.py"

func python(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("python3 is missing")
		}
		t.Skip("python3 is missing; install it to hear the second opinion")
	}
	return path
}

// write draws one settlement and writes its facts.
func write(t *testing.T, file string, seed uint64, i int) *statement.Facts {
	t.Helper()
	f, err := dice{rand.New(rand.NewPCG(seed, uint64(i)))}.settlement(i)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := statement.WriteFacts(&b, f); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestBothAgreeToTheDigit is the promise.
func TestBothAgreeToTheDigit(t *testing.T) {
	py, dir := python(t), t.TempDir()
	const procs = 2
	var wg sync.WaitGroup
	for p := range procs {
		var files []string
		paid := 0
		for i := p; i < *settlements; i += procs {
			name := fmt.Sprintf("%04d.json", i)
			if write(t, filepath.Join(dir, name), *seed, i).Settle().Credit.Minor > 0 {
				paid++
			}
			files = append(files, name)
		}
		if paid < len(files)/5 {
			t.Errorf("only %d of %d drawn settlements pay a credit: they say little", paid, len(files))
		}
		script, err := filepath.Abs(opinion)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			cmd := exec.Command(py, append([]string{script}, files...)...)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				out = differing(out)
				t.Errorf("%v (repeat with -seed %d):\n%s", err, *seed, tail(out))
			}
		})
	}
	wg.Wait()
}

// TestADifferenceIsSeen changes each figure of a settlement by one digit.
func TestADifferenceIsSeen(t *testing.T) {
	py, dir := python(t), t.TempDir()
	file := filepath.Join(dir, "facts.json")
	write(t, file, *seed, 3)
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(doc, []byte(`"settlement"`))
	for _, key := range []string{"applicable", "good", "bad", "unknown", "excluded", "not_applicable", "attainment_pct", "coverage_pct",
		"attainment_low_pct", "attainment_high_pct", "credit_low", "credit_high", "percent", "amount"} {
		figure := regexp.MustCompile(`"` + key + `": "?[0-9.]*[0-9]`)
		loc := figure.FindIndex(doc[at:])
		if loc == nil {
			t.Errorf("the settlement has no figure %s", key)
			continue
		}
		forged := bytes.Clone(doc)
		last := &forged[at+loc[1]-1]
		*last = '0' + (*last-'0'+1)%10
		if err := os.WriteFile(file, forged, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(py, opinion, file).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), key) {
			t.Errorf("%s was changed, and the second opinion says (%v):\n%s", key, err, tail(out))
		}
	}
}

func tail(out []byte) string {
	const most = 4000
	if len(out) > most {
		out = out[len(out)-most:]
	}
	return string(out)
}

// differing leaves out the lines of files on which both agree.
func differing(out []byte) []byte {
	var kept [][]byte
	for line := range bytes.Lines(out) {
		if !bytes.HasPrefix(line, []byte("agree ")) {
			kept = append(kept, line)
		}
	}
	return bytes.Join(kept, nil)
}
