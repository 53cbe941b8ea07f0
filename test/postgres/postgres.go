// Package postgres starts Debian's PostgreSQL for tests: a cluster of its own
// in a temporary directory, on a Unix socket, with fsync on, stopped and removed
// at the end. Nothing of an installed server is touched.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// ErrAbsent says that PostgreSQL is not installed here.
var ErrAbsent = errors.New("PostgreSQL is not installed (test/setup installs Debian's package)")

const superuser = "nines"

// Server is a running cluster.
type Server struct {
	dir, bin string
	cred     *syscall.Credential // nil where this process is no root itself
	cmd      *exec.Cmd
	schemas  atomic.Int64
}

// Start makes a cluster and waits until it answers.
func Start() (*Server, error) {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(bins) == 0 {
		return nil, ErrAbsent
	}
	slices.SortFunc(bins, func(a, b string) int { return cmp.Compare(major(a), major(b)) })
	s := &Server{bin: filepath.Dir(bins[len(bins)-1])}
	err = s.create()
	if err == nil {
		err = s.Resume()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

// major is the version in /usr/lib/postgresql/15/bin/initdb.
func major(initdb string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb)))) // else 0, the oldest
	return n
}

// create makes the cluster's files. PostgreSQL refuses to run as root, so they
// and the server belong to somebody else there.
func (s *Server) create() error {
	var err error
	if s.dir, err = os.MkdirTemp("", "nines-pg-"); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		if s.cred, err = unprivileged(); err != nil {
			return err
		}
		if err := os.Chown(s.dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return err
		}
	}
	// What initdb writes need not survive a power cut; what the server writes does.
	out, err := s.command("initdb", "-D", s.data(), "-U", superuser, "-A", "trust", "-E", "UTF8", "--locale=C",
		"--data-checksums", "--no-sync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("make a PostgreSQL cluster: %w: %s", err, out)
	}
	return nil
}

func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: true}, errors.Join(err, err2)
	}
	return nil, errors.New("find a user to run PostgreSQL as: neither postgres nor nobody exists")
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) log() string { return filepath.Join(s.dir, "log") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	// The server stops when this process dies, however it does.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Pdeathsig: syscall.SIGINT}
	return cmd
}

// Resume starts the server, after Start itself or after Kill.
func (s *Server) Resume() error {
	out, err := os.Create(s.log())
	if err != nil {
		return err
	}
	defer out.Close()
	s.cmd = s.command("postgres", "-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "fsync=on",
		"-c", "synchronous_commit=on", "-c", "max_connections=100", "-c", "shared_buffers=64MB")
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.exec(ctx, "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			said, _ := os.ReadFile(s.log()) // it only helps to explain
			return errors.Join(fmt.Errorf("await PostgreSQL: %w: %s", err, said), s.Kill())
		case <-tick.C:
		}
	}
}

// URL is the address of the database with the schema, which may be "".
func (s *Server) URL(schema string) string {
	u := "postgres://" + superuser + "@/postgres?host=" + s.dir
	if schema != "" {
		u += "&search_path=" + schema
	}
	return u
}

// Schema makes an empty schema and returns its address.
func (s *Server) Schema() (url string, err error) {
	name := "s" + strconv.FormatInt(s.schemas.Add(1), 10)
	return s.URL(name), s.exec(context.Background(), "CREATE SCHEMA "+name)
}

func (s *Server) exec(ctx context.Context, statement string) error {
	c, err := pgx.ParseConfig(s.URL(""))
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*c)
	_, err = db.ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}

// Kill ends the server at once, without a word to its clients: it recovers from
// its log when it is resumed.
func (s *Server) Kill() error { return s.end(syscall.SIGQUIT) }

func (s *Server) end(sig syscall.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil {
		return err
	}
	_ = s.cmd.Wait() // its exit code says that it was told to
	return nil
}

// Stop ends the server and removes its files.
func (s *Server) Stop() error {
	return errors.Join(s.end(syscall.SIGINT), os.RemoveAll(s.dir))
}
