package rows

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync/atomic"
)

// Formats of files.
const (
	formatCSV  = "csv"
	formatJSON = "jsonl"
)

// errTables says that an archive holds more than one file.
var errTables = errors.New("the archive holds more than one file: unpack it and name those that the mapping is for")

// table is an open file of rows.
type table struct {
	name string // as it was given
	kind string // the name that tells the format: an archive's member
	in   *bufio.Reader
	file io.Closer
	size int64
	read atomic.Int64 // bytes of the file
}

// counted counts what is read of the file itself, packed or not.
type counted struct {
	r io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// bufferSize is how much is read at a time.
const bufferSize = 1 << 16

// openTable opens a file, packed by gzip or not, an archive of one file or the
// file itself. "-" is the standard input.
func openTable(name string) (*table, error) {
	t := &table{name: name, kind: name, file: os.Stdin}
	src := io.Reader(os.Stdin)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read rows: %w", err)
		}
		st, err := f.Stat()
		if err != nil || st.IsDir() {
			_ = f.Close() // nothing was written
			return nil, fmt.Errorf("read rows %s: want a file: %w", name, errors.Join(err, errIsDir(st)))
		}
		src, t.file, t.size = f, f, st.Size()
	}
	if err := t.unpack(counted{src, &t.read}); err != nil {
		_ = t.file.Close() // nothing was written
		return nil, fmt.Errorf("read rows %s: %w", name, err)
	}
	return t, nil
}

func errIsDir(st os.FileInfo) error {
	if st != nil && st.IsDir() {
		return errors.New("it is a folder")
	}
	return nil
}

// unpack finds the rows behind gzip and tar.
func (t *table) unpack(src io.Reader) error {
	t.in = bufio.NewReaderSize(src, bufferSize)
	if magic, _ := t.in.Peek(2); string(magic) == "\x1f\x8b" {
		z, err := gzip.NewReader(t.in)
		if err != nil {
			return err
		}
		t.in = bufio.NewReaderSize(z, bufferSize)
		t.kind = strings.TrimSuffix(t.kind, ".gz")
	}
	if head, _ := t.in.Peek(262); len(head) == 262 && string(head[257:]) == "ustar" {
		m := &member{tar: tar.NewReader(t.in)}
		name, err := m.next()
		if err != nil {
			return fmt.Errorf("find a file in the archive: %w", err)
		}
		t.in, t.kind = bufio.NewReaderSize(m, bufferSize), name
	}
	return t.skipMark()
}

// skipMark skips the byte order mark that spreadsheets write.
func (t *table) skipMark() error {
	if mark, _ := t.in.Peek(3); string(mark) == "\xef\xbb\xbf" {
		_, err := t.in.Discard(3)
		return err
	}
	return nil
}

// member reads the one file of an archive.
type member struct{ tar *tar.Reader }

// next goes to the next file; those that macOS puts beside files are none.
func (m *member) next() (string, error) {
	for {
		h, err := m.tar.Next()
		if err != nil {
			return "", err
		}
		if h.Typeflag == tar.TypeReg && !strings.HasPrefix(path.Base(h.Name), "._") {
			return h.Name, nil
		}
	}
}

func (m *member) Read(p []byte) (int, error) {
	n, err := m.tar.Read(p)
	if err != io.EOF {
		return n, err
	}
	if _, more := m.next(); more == nil {
		err = errTables
	} else if more != io.EOF {
		err = more
	}
	return n, err
}

// format returns the format of the file, as the mapping or its name says.
func (t *table) format(s *Spec) string {
	if s.Format != "" {
		return s.Format
	}
	switch path.Ext(t.kind) {
	case ".jsonl", ".ndjson", ".json":
		return formatJSON
	}
	return formatCSV
}

// delimiter returns what separates columns.
func (t *table) delimiter(s *Spec) rune {
	switch {
	case s.Delimiter != "":
		return []rune(s.Delimiter)[0]
	case path.Ext(t.kind) == ".tsv":
		return '\t'
	}
	return ','
}
