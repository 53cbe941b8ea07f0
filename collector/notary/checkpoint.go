package notary

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// origin begins a checkpoint's first line; the ledger's name follows.
const origin = "nines ledger "

// suffix ends the names of checkpoints' files, which begin with their times.
const (
	suffix   = ".note"
	fileTime = "20060102T150405.000Z"
)

// maxFile bounds what is read of a file of checkpoints, in bytes.
const maxFile = 16 << 20

// Checkpoint is the log as it stood at a time, signed. docs/ledger.md has its
// bytes.
type Checkpoint struct {
	// Name of the ledger, which is the key's.
	Name string
	tlog.Tree
	// Time is the log time, of millisecond precision.
	Time time.Time
	// Note is the signed text.
	Note []byte
	// File is where it was read or written; "" for neither.
	File string
}

func (c *Checkpoint) text() string {
	return fmt.Sprintf("%s%s\n%d\n%s\ntime %s\n", origin, c.Name, c.N, c.Hash, c.Time.Format(time.RFC3339Nano))
}

// Open reads one signed checkpoint. Its error says so if none of the keys signed
// it.
func Open(signed []byte, keys note.Verifiers) (*Checkpoint, error) {
	n, err := note.Open(signed, keys)
	if unknown := (*note.UnverifiedNoteError)(nil); errors.As(err, &unknown) {
		name := "nobody"
		if sigs := unknown.Note.UnverifiedSigs; len(sigs) > 0 {
			name = fmt.Sprintf("%s+%08x", sigs[0].Name, sigs[0].Hash)
		}
		return nil, fmt.Errorf("signed by %s, which is none of the given public keys", name)
	}
	if err != nil {
		return nil, fmt.Errorf("the signature does not hold: %w", err)
	}
	c, err := parse(n.Text)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(n.Sigs, func(s note.Signature) bool { return s.Name == c.Name }) {
		return nil, fmt.Errorf("it is of ledger %q, the key of %q", c.Name, n.Sigs[0].Name)
	}
	c.Note = signed
	return c, nil
}

var errText = errors.New("not the text of a checkpoint of a nines ledger")

// parse reads the text that was signed.
func parse(text string) (*Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 5 || lines[4] != "" {
		return nil, errText
	}
	c := &Checkpoint{}
	var okName, okTime bool
	c.Name, okName = strings.CutPrefix(lines[0], origin)
	at, okTime := strings.CutPrefix(lines[3], "time ")
	size, errSize := strconv.ParseInt(lines[1], 10, 64)
	root, errRoot := tlog.ParseHash(lines[2])
	when, errTime := time.Parse(time.RFC3339Nano, at)
	if !okName || !okTime || errSize != nil || size < 1 || errRoot != nil || errTime != nil {
		return nil, errText
	}
	c.N, c.Hash, c.Time = size, root, when.UTC()
	if c.text() != text {
		return nil, errText // one text, one meaning
	}
	return c, nil
}

// split cuts a file into notes: each ends with lines of signatures.
func split(b []byte) (notes [][]byte) {
	var at int
	signed := false
	for pos := 0; pos < len(b); {
		end := pos + bytes.IndexByte(b[pos:], '\n') + 1
		if end == pos {
			end = len(b)
		}
		line := b[pos:end]
		isSig := bytes.HasPrefix(line, []byte("— "))
		if signed && !isSig {
			notes = append(notes, b[at:pos])
			at, signed = pos, false
		}
		if at == pos && len(bytes.TrimSpace(line)) == 0 {
			at = end // empty lines between notes
		}
		signed = signed || isSig
		pos = end
	}
	if at < len(b) {
		notes = append(notes, b[at:])
	}
	return notes
}

// Read reads the checkpoints of a file, which may hold several, or of all files
// of a directory, ascending by size and time. Every one must be signed by one of
// the keys.
func Read(path string, keys note.Verifiers) ([]Checkpoint, error) {
	files, err := filesOf(path)
	if err != nil {
		return nil, err
	}
	var out []Checkpoint
	for _, file := range files {
		list, err := readFile(file, keys)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	slices.SortStableFunc(out, func(a, b Checkpoint) int { return cmp.Or(cmp.Compare(a.N, b.N), a.Time.Compare(b.Time)) })
	return out, nil
}

func readFile(file string, keys note.Verifiers) ([]Checkpoint, error) {
	st, err := os.Stat(file)
	if err == nil && st.Size() > maxFile {
		err = fmt.Errorf("%s has %d bytes, too many for checkpoints", file, st.Size())
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	notes := split(b)
	if len(notes) == 0 {
		return nil, fmt.Errorf("read checkpoints %s: there is none in it", file)
	}
	var out []Checkpoint
	for i, n := range notes {
		c, err := Open(n, keys)
		if err != nil {
			return nil, fmt.Errorf("read checkpoint %d of %s: %w", i+1, file, err)
		}
		c.File = file
		out = append(out, *c)
	}
	return out, nil
}

func filesOf(path string) ([]string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	if !st.IsDir() {
		return []string{path}, nil
	}
	files, err := filepath.Glob(filepath.Join(escape(path), "*"+suffix))
	slices.Sort(files)
	return files, err
}

// escape takes the meaning of a pattern from a directory's name.
func escape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// Newest returns the time of the newest checkpoint in a directory by its file's
// name, zero if there is none.
func Newest(dir string) (time.Time, error) {
	files, err := filesOf(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	var newest time.Time
	for _, f := range files {
		if t, err := time.Parse(fileTime, strings.TrimSuffix(filepath.Base(f), suffix)); err == nil && t.After(newest) {
			newest = t
		}
	}
	return newest, err
}

// save writes the checkpoint into the directory. A file that is there already
// is of the same log time: it stays, and the new one gets a number.
func (c *Checkpoint) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	base := filepath.Join(dir, c.Time.Format(fileTime))
	c.File = base + suffix
	for n := 2; ; n++ {
		have, err := os.ReadFile(c.File)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return fmt.Errorf("save checkpoint: %w", err)
		}
		if bytes.Equal(have, c.Note) {
			return nil
		}
		c.File = fmt.Sprintf("%s-%d%s", base, n, suffix)
	}
	if err := writeFile(c.File, c.Note, 0o644); err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	return nil
}
