package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"text/template"
)

// A region of each kind, as Linux tells of them.
const smaps = `00400000-00402000 r--p 00000000 fe:00 1001 /usr/local/bin/nines-agent
Size:                  8 kB
Rss:                   8 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me
00402000-00b50000 r-xp 00002000 fe:00 1001                    /usr/local/bin/nines-agent
Size:               7480 kB
Rss:                7480 kB
Anonymous:             0 kB
KSM:                   0 kB
Swap:                  0 kB
00b50000-00b51000 r-xp 00750000 fe:00 1001                    /usr/local/bin/nines-agent
Rss:                   0 kB
Anonymous:             0 kB
Swap:                  0 kB
01338000-01339000 r--p 00f37000 fe:00 1001                    /usr/local/bin/nines-agent
Rss:                   4 kB
Anonymous:             4 kB
Swap:                  0 kB
01339000-0133a000 r--p 00f38000 fe:00 1001                    /usr/local/bin/nines-agent
Rss:                   4 kB
Anonymous:             0 kB
Swap:                  4 kB
0133a000-013bc000 rw-p 00f39000 fe:00 1001                    /usr/local/bin/nines-agent
Rss:                 420 kB
Anonymous:             0 kB
Swap:                  0 kB
c000000000-c000400000 r--p 00000000 00:00 0
Rss:                4096 kB
Anonymous:             0 kB
Swap:                  0 kB
7f7532e2f000-7f7532e55000 r--s 00000000 fe:00 326269          /var/cache/shared
Rss:                 152 kB
Anonymous:             0 kB
Swap:                  0 kB
7ffd1a1f0000-7ffd1a1f2000 r-xp 00000000 00:00 0               [vdso]
Rss:                   8 kB
Anonymous:             0 kB
Swap:                  0 kB
7ffd1a1f4000-7ffd1a1f5000 r-xp 00000000 fe:00 7               /usr/lib/libc.so.6
Rss:                   4 kB
`

// Only what the file holds alike is given back: nothing writable, nothing that
// the loader wrote to, nothing of which the kernel does not say so.
func TestOnlyCleanFilePagesAreGivenBack(t *testing.T) {
	got := fmt.Sprintf("%x", cleanMappings([]byte(smaps)))
	if want := "[{400000 402000 2000} {402000 b50000 74e000}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzCleanMappings(f *testing.F) {
	f.Add([]byte(smaps))
	f.Add([]byte("0-1 r--p 0 0 0 /x\nRss: 4 kB\nAnonymous: 0 kB\nSwap: 0 kB\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, m := range cleanMappings(text) {
			if m.from >= m.to || m.resident == 0 {
				t.Errorf("%+v", m)
			}
			if !bytes.Contains(text, []byte(" r-")) {
				t.Errorf("%+v of a text that has no read-only mapping", m)
			}
		}
	})
}

// The program goes on while its pages go and come: code, constants, tables of
// lines (stack traces), types (reflection), and the C library behind names.
func TestGivingPagesBackIsHarmless(t *testing.T) {
	ctx := t.Context()
	work := func() error {
		var b strings.Builder
		if err := template.Must(template.New("x").Parse("{{range .}}{{printf \"%05.1f\" .}} {{end}}")).Execute(&b, []float64{1, 2.5}); err != nil {
			return err
		}
		if b.String() != "001.0 002.5 " {
			return fmt.Errorf("printed %q", b.String())
		}
		var back map[string]int
		if err := json.Unmarshal([]byte(`{"a": 7}`), &back); err != nil || back["a"] != 7 {
			return fmt.Errorf("read %v, %v", back, err)
		}
		stack := func() (text string) {
			defer func() {
				recover()
				buf := make([]byte, 4096)
				text = string(buf[:runtime.Stack(buf, false)])
			}()
			panic("on purpose")
		}()
		if !strings.Contains(stack, "giveback_test.go") {
			return fmt.Errorf("a stack without this file:\n%s", stack)
		}
		_, err := net.DefaultResolver.LookupHost(ctx, "localhost")
		runtime.GC()
		return err
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := work(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var most uint64
	for range 20 {
		n, err := unmapClean()
		if err != nil {
			t.Error(err)
		}
		most = max(most, n)
		if err := work(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	if most < 1<<20 {
		t.Errorf("%d bytes of the program were resident at most", most)
	}
}

// What nobody touches stays away: of a test's pages more than half.
func TestPagesOfTheStartStayAway(t *testing.T) {
	before, err := unmapClean()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	var after uint64
	for _, m := range cleanMappings(text) {
		after += m.resident
	}
	if before < 1<<20 || after > before/4*3 {
		t.Errorf("%d bytes resident, %d right after they were given back", before, after)
	}
}
