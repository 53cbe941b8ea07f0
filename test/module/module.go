// Package module builds other projects' programs for tests, from modules that
// pin them: test/telegraf, test/victoriametrics. Go's build cache keeps what was
// compiled, so that only the first build takes long.
package module

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// Build builds the command pkg from the module in dir and returns its binary,
// which lies in a folder of the test. Where it cannot be built the test is
// skipped; with CI=true it fails.
func Build(t *testing.T, dir, pkg string, tags ...string) string {
	t.Helper()
	binary, err := Into(t.TempDir(), dir, pkg, tags...)
	if err == nil {
		return binary
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skipf("it cannot be built here: %v", err)
	return ""
}

// Into is Build for those who are no test: the binary lies in the folder into.
func Into(into, dir, pkg string, tags ...string) (binary string, err error) {
	at, err := os.MkdirTemp("", "nines-module-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(at)
	if err := os.CopyFS(at, os.DirFS(dir)); err != nil { // a copy: the build completes go.mod and go.sum
		return "", err
	}
	if binary, err = filepath.Abs(filepath.Join(into, path.Base(pkg))); err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-mod=mod", "-tags", strings.Join(tags, ","), "-o", binary, pkg)
	build.Dir = at
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return binary, nil
}

// Version returns which version of a module the one in dir pins; empty where it
// does not.
func Version(dir, path string) string {
	text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), path+" ")
	version, _, _ := strings.Cut(rest, "\n")
	return version
}
