package host

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	gopsutil "github.com/shirou/gopsutil/v4/host"
)

func record(size, typ int, user string) []byte {
	b := make([]byte, size)
	binary.NativeEndian.PutUint16(b, uint16(typ))
	copy(b[utmpUser:], user)
	return b
}

// Who is logged in is counted as the library does that Telegraf uses.
func TestUsersOfUtmp(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	size := utmpSize(runtime.GOARCH)
	text := slices.Concat(record(size, 2, "reboot"), record(size, 7, "ada"), record(size, 7, "ada"), record(size, 8, "gone"), record(size, 7, "eve"), make([]byte, 17))
	if err := os.WriteFile(filepath.Join(dir, "run", "utmp"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := utmpUsers(text, size); !slices.Equal(got, []string{"ada", "ada", "eve"}) {
		t.Errorf("users %v", got)
	}
	t.Setenv("HOST_VAR", dir)
	if utmpSize("amd64") != 384 || utmpSize("arm64") != 400 {
		t.Error("the size of a record")
	}
	theirs, err := gopsutil.Users()
	if err != nil {
		t.Fatal(err)
	}
	u := newUsers(EnvRoots())
	if all, unique := u.read(); int(all) != len(theirs) || unique > all {
		t.Errorf("%v sessions of %v users, the library has %d", all, unique, len(theirs))
	}
}

func TestUsersOfSystemdsSessions(t *testing.T) {
	dir := t.TempDir()
	u := newUsers(Roots{Var: filepath.Join(dir, "var"), Run: dir})
	if all, unique := u.read(); !math.IsNaN(all) || !math.IsNaN(unique) {
		t.Errorf("a host that keeps no account has %v sessions of %v users", all, unique)
	}
	sessions := filepath.Join(dir, "systemd", "sessions")
	if err := os.MkdirAll(sessions, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"1":        "# This is private data.\nUID=1000\nUSER=ada\nACTIVE=1\nSTATE=active\nREMOTE=0\nTYPE=tty\nCLASS=user\nSEAT=seat0\nTTY=tty2\n",
		"2":        "UID=1000\nUSER=ada\nCLASS=user\nTTY=pts/0\nREMOTE=1\n",
		"3":        "UID=0\nUSER=root\nCLASS=user-early\nTTY=tty1\n",
		"4":        "UID=1000\nUSER=ada\nCLASS=manager\n",
		"5":        "UID=42\nUSER=gdm\nCLASS=greeter\nSEAT=seat0\n",
		"6":        "UID=1001\nUSER=cron\nCLASS=user\n",
		".#1abcde": "UID=9\nUSER=half\nCLASS=user\nTTY=pts/9\n",
	} {
		if err := os.WriteFile(filepath.Join(sessions, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if all, _ := u.read(); !math.IsNaN(all) {
		t.Errorf("%v sessions where systemd does not run", all)
	}
	if err := os.Mkdir(filepath.Join(dir, "systemd", "system"), 0o755); err != nil {
		t.Fatal(err)
	}
	if all, unique := u.read(); all != 3 || unique != 2 {
		t.Errorf("%v sessions of %v users, want 3 of 2", all, unique)
	}
}

// CPUs are counted when others are online, and not at each reading.
func TestCPUsAreCountedWhenTheyChange(t *testing.T) {
	r := tree(t, map[string]string{"proc/loadavg": "0.1 0.2 0.3 1/2 3\n", "sys/devices/system/cpu/online": "0-1\n"})
	s := NewSystem(r)
	read := func() (float64, float64) {
		t.Helper()
		s.slow = s.slow.Add(-slowEvery)
		v := values(t, s)
		return v["system_n_cpus"], v["system_n_physical_cpus"]
	}
	logical, physical := read()
	if n := float64(runtime.NumCPU()); logical < 1 || physical < 1 || physical > logical || logical < n {
		t.Errorf("%v CPUs, %v cores; this process may use %v", logical, physical, n)
	}
	s.table.values[3] = 77 // what was counted stays
	if n, _ := read(); n != 77 {
		t.Errorf("counted again: %v", n)
	}
	rewrite(t, r, "sys/devices/system/cpu/online", "0-2\n")
	if n, _ := read(); n != logical {
		t.Errorf("%v CPUs after others came, want %v", n, logical)
	}
}

func FuzzUtmp(f *testing.F) {
	f.Add(record(384, 7, "ada"), true)
	f.Add([]byte("short"), false)
	f.Fuzz(func(t *testing.T, b []byte, short bool) {
		size := utmpWithLong
		if short {
			size = utmpShort
		}
		if n := len(utmpUsers(b, size)); n > len(b)/size {
			t.Errorf("%d users in %d bytes", n, len(b))
		}
	})
}
