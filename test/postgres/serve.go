package postgres

import (
	"errors"
	"os"
	"testing"
)

// Serve starts a server for one test and stops it at its end.
func Serve(t testing.TB) *Server {
	t.Helper()
	s, err := Start()
	Must(t, err)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Ledger is the address of an empty schema on a server of the test's own.
func Ledger(t testing.TB) (url string) {
	t.Helper()
	url, err := Serve(t).Schema()
	Must(t, err)
	return url
}

// Must ends the test if there is an error: it skips it where PostgreSQL is not
// installed, unless under CI, and fails it otherwise.
func Must(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrAbsent) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
