package host

import (
	"testing"

	"golang.org/x/sys/unix"
)

// written is an open kernel file with a text.
func written(t testing.TB, text string) file {
	t.Helper()
	fd, err := unix.MemfdCreate("kernel", 0)
	if err != nil {
		t.Skip(err)
	}
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return file{fd: fd, open: true}
}

// allocatesNothing fails where a steady reader allocates.
func allocatesNothing(t testing.TB, r reader) {
	t.Helper()
	read := func() {
		if _, _, err := r.Read(); err != nil {
			t.Fatal(err)
		}
	}
	read()
	if n := testing.AllocsPerRun(20, read); n > 0 {
		t.Errorf("%T: %v allocations a round", r, n)
	}
}

func benchmarkReader(b *testing.B, r reader) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.Read(); err != nil {
			b.Fatal(err)
		}
	}
}
