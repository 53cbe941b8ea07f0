package host

import (
	"bytes"
	"encoding/binary"
	"os"
	"runtime"
	"strings"
)

// users counts who is logged in as Telegraf's system input does: from utmp, and
// where a distribution no longer writes that, from the sessions that
// systemd-logind keeps. The library that the plugin uses starts loginctl for
// these, several times a reading; the files below /run/systemd/sessions are what
// loginctl reads.
type users struct {
	utmp, sessions string
	booted         string // exists where systemd runs this host, see sd_booted(3)
}

func newUsers(r Roots) users {
	r = r.fill()
	systemd := r.Run + "/systemd/"
	return users{utmp: r.Var + "/run/utmp", sessions: systemd + "sessions", booted: systemd + "system"}
}

// read returns how many sessions there are, and of how many users; absent
// where nobody on this host keeps account of them.
func (u *users) read() (all, unique float64) {
	var names []string
	text, err := os.ReadFile(u.utmp)
	if err == nil {
		names = utmpUsers(text, utmpSize(runtime.GOARCH))
	} else if !os.IsNotExist(err) {
		return absent, absent
	} else if _, err := os.Stat(u.booted); err != nil {
		return absent, absent // what lies there is of another time
	} else if names, err = sessionUsers(u.sessions); err != nil {
		return absent, absent
	}
	seen := map[string]bool{}
	for _, n := range names {
		seen[n] = true
	}
	return float64(len(names)), float64(len(seen))
}

// Fields of a utmp record, utmp(5): its type, then after the process and the
// line and id of the terminal, the user.
const (
	utmpUser     = 44
	utmpUserLen  = 32
	userProcess  = 7
	utmpShort    = 384
	utmpWithLong = 400
)

// utmpSize is how long a record is: its times are 32 bits wide where there are
// programs of 32 bits to share it with.
func utmpSize(arch string) int {
	if arch == "arm64" || arch == "loong64" {
		return utmpWithLong
	}
	return utmpShort
}

// utmpUsers returns the user of each session.
func utmpUsers(b []byte, size int) (names []string) {
	for ; len(b) >= size; b = b[size:] {
		if binary.NativeEndian.Uint16(b) != userProcess {
			continue
		}
		name, _, _ := bytes.Cut(b[utmpUser:utmpUser+utmpUserLen], []byte{0})
		names = append(names, string(name))
	}
	return names
}

// sessionUsers returns the user of each of systemd-logind's sessions that utmp
// would have: a user's, at a seat or a terminal.
func sessionUsers(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.Contains(e.Name(), ".") {
			continue // a pipe to whoever holds the session, or a file being written
		}
		text, err := os.ReadFile(dir + "/" + e.Name())
		if err != nil {
			continue // it ended
		}
		keys := map[string]string{}
		for line := range strings.Lines(string(text)) {
			if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
				keys[k] = v
			}
		}
		if strings.HasPrefix(keys["CLASS"], "user") && keys["SEAT"]+keys["TTY"] != "" {
			names = append(names, keys["USER"])
		}
	}
	return names, nil
}
