// Package module builds other projects' programs for tests, from modules that
// pin them: test/telegraf, test/victoriametrics. Go's build cache keeps what was
// compiled, so that only the first build takes long.
package module

import (
	"io/fs"
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
	at := filepath.Join(t.TempDir(), "module")
	if err := os.CopyFS(at, os.DirFS(dir)); err != nil { // a copy: the build completes go.mod
		t.Fatal(err)
	}
	if _, err := fs.Stat(os.DirFS(at), "go.mod"); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), path.Base(pkg))
	build := exec.Command("go", "build", "-mod=mod", "-tags", strings.Join(tags, ","), "-o", binary, pkg)
	build.Dir = at
	if out, err := build.CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("build %s: %v\n%s", pkg, err, out)
		}
		t.Skipf("%s cannot be built here: %v\n%s", pkg, err, out)
	}
	return binary
}
