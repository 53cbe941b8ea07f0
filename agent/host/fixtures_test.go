package host

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Recorded trees of /proc and /sys: archive and folder in it.
const (
	exporterSys  = "host-node-exporter-e2e/sys.tar.gz"
	exporterProc = "host-node-exporter-e2e/collector-fixtures.tar.gz"
	procfsTree   = "host-procfs-fixtures/procfs-fixtures.tar.gz"
)

// unpacked extracts what begins with one of the prefixes of a recorded tree, all
// of it without any, and returns its folder; the test is skipped where there is no recording.
func unpacked(t testing.TB, archive string, prefixes ...string) string {
	t.Helper()
	f, err := os.Open(filepath.Join("../../../shared/data", archive))
	if err != nil {
		t.Skip("no recordings: ../shared/data/" + archive + " is absent")
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(h.Name, p) }) {
			extract(t, root, h, in)
		}
	}
}

func extract(t testing.TB, root *os.Root, h *tar.Header, in io.Reader) {
	t.Helper()
	name := filepath.Clean(h.Name)
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	switch h.Typeflag {
	case tar.TypeDir:
		err = root.MkdirAll(name, 0o755)
	case tar.TypeSymlink:
		err = root.Symlink(h.Linkname, name)
	case tar.TypeReg:
		var f *os.File
		if f, err = root.Create(name); err == nil {
			_, err = io.Copy(f, in)
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
