// Package torture holds the ledger and its reported gaps to a generator that
// knows the truth, while agents, broker and collectors, all processes of their
// own, are killed, stopped, cut off and restarted at random. What happens when
// is a function of the seed. docs/torture.md tells how to read it.
package torture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// nines is the nines under test; TestMain builds it.
var nines string

func TestMain(m *testing.M) {
	if child := os.Getenv(childEnv); child != "" {
		if err := runChild(child); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	dir, err := os.MkdirTemp("", "nines-torture")
	if err != nil {
		panic(err)
	}
	nines = filepath.Join(dir, "nines")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", nines, "nines/cmd/nines")
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err == nil {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}
