package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// settled is how long an agent runs before it gives back what only its start
// needed: every input has been read by then.
const settled = 15 * time.Second

// giveBack returns memory to the kernel that only the start needed: heap, which
// the runtime by itself would keep for minutes, and pages of the program's file,
// half of which only its packages' initialisation touched.
func giveBack(ctx context.Context, log *slog.Logger) {
	timer := time.NewTimer(settled)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
	}
	debug.FreeOSMemory()
	resident, err := unmapClean()
	if err != nil {
		log.Debug("cannot give back pages of the program's file", "error", err)
		return
	}
	log.Debug("gave back what only the start needed", "file_bytes", resident)
}

// unmapClean has the kernel unmap the pages of read-only files, of the program
// and its libraries, and forget the program's file where nobody else runs it.
// Whoever touches a page gets it again as the file has it, with a few neighbours.
// Unmapping alone would not do: where the file was written since the host booted,
// the kernel keeps it in pieces of up to 2 MB, and maps each as a whole. It
// returns how many bytes were resident.
func unmapClean() (resident uint64, err error) {
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		return 0, err
	}
	defer program.Close()
	fd := int(program.Fd())
	// What was installed a moment ago is forgotten only when the disk has it.
	if err := unix.Fdatasync(fd); err != nil {
		return 0, fmt.Errorf("sync the program's file: %w", err)
	}
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, m := range cleanMappings(text) {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED); errno != 0 {
			errs = append(errs, fmt.Errorf("madvise %x-%x: %w", m.from, m.to, errno))
			continue
		}
		resident += m.resident
	}
	if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
		errs = append(errs, fmt.Errorf("forget the program's file: %w", err))
	}
	return resident, errors.Join(errs...)
}

// mapping is a stretch of a process's memory.
type mapping struct {
	from, to uintptr
	resident uint64 // bytes
}

// cleanMappings returns the mappings of files in a text of /proc/PID/smaps that
// nobody can write to and that hold nothing but the file: none of their pages is
// the process's own, as those are that the dynamic loader wrote to before it
// closed them (RELRO), which would be lost.
func cleanMappings(smaps []byte) []mapping {
	var out []mapping
	var at mapping
	clean, anonymous, swapped := false, false, false // the last two: the kernel said that there are none
	done := func() {
		if clean && anonymous && swapped && at.resident > 0 {
			out = append(out, at)
		}
	}
	for lines := bufio.NewScanner(bytes.NewReader(smaps)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) == 3 && f[2] == "kB":
			n, err := strconv.ParseUint(f[1], 10, 54)
			switch f[0] {
			case "Rss:":
				at.resident = n << 10
			case "Anonymous:":
				anonymous = err == nil && n == 0
			case "Swap:":
				swapped = err == nil && n == 0
			}
		case len(f) >= 5 && !strings.HasSuffix(f[0], ":"): // a mapping begins: range, rights, offset, device, inode, file
			done()
			var ok bool
			at, ok = span(f[0])
			clean = ok && (f[1] == "r--p" || f[1] == "r-xp") && len(f) > 5 && strings.HasPrefix(f[5], "/")
			anonymous, swapped = false, false
		}
	}
	done()
	return out
}

// span reads a range of addresses, in hexadecimal with a dash between.
func span(text string) (m mapping, ok bool) {
	a, b, ok := strings.Cut(text, "-")
	from, err := strconv.ParseUint(a, 16, strconv.IntSize)
	to, err2 := strconv.ParseUint(b, 16, strconv.IntSize)
	return mapping{from: uintptr(from), to: uintptr(to)}, ok && err == nil && err2 == nil && from < to
}
