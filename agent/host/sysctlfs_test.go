package host

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

// A kernel that lacks some of the files, and one that has shorter ones.
func TestSysctlFSOfAnyKernel(t *testing.T) {
	proc := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		file := filepath.Join(proc, "sys", "fs", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("file-nr", "1536\t0\t9223372036854775807\n")
	put("inode-state", "70000\t400\t0\t0\t0\t0\t0\n")
	put("dentry-state", "119\t7\n")
	s := NewSysctlFS(Roots{Proc: proc})
	defer s.Close()
	want := map[string]float64{"linux_sysctl_fs_file_nr": 1536, "linux_sysctl_fs_file_max": 9223372036854775807, "linux_sysctl_fs_inode_nr": 70000,
		"linux_sysctl_fs_inode_free_nr": 400, "linux_sysctl_fs_inode_preshrink_nr": 0, "linux_sysctl_fs_dentry_nr": 119, "linux_sysctl_fs_dentry_unused_nr": 7,
		"linux_sysctl_fs_dentry_age_limit": absent, "linux_sysctl_fs_dentry_want_pages": absent}
	for range 2 {
		series, values, err := s.Read()
		if err != nil || len(series) != len(want) {
			t.Fatalf("%d series, %v; want %d", len(series), err, len(want))
		}
		for i := range series {
			if w := want[series[i].Name]; values[i] != w && !(math.IsNaN(values[i]) && math.IsNaN(w)) {
				t.Errorf("%s is %v, want %v", series[i].Name, values[i], w)
			}
		}
	}
	s.Close()
	if err := os.Remove(filepath.Join(proc, "sys", "fs", "file-nr")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Read(); err == nil {
		t.Error("a file that went is read")
	}
}
