package notary

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Key signs checkpoints (Ed25519, in the form of golang.org/x/mod/sumdb/note).
type Key struct {
	signer note.Signer
	// Public is what verifies: NAME+HASH+KEY.
	Public string
	// File holds the key.
	File string
}

// Name is the ledger's, as checkpoints give it.
func (k *Key) Name() string { return k.signer.Name() }

// CheckName tells whether a ledger can have the name.
func CheckName(name string) error {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || r == '+' || r == unicode.ReplacementChar
	}) {
		return errors.New("want a name without spaces and plus signs")
	}
	return nil
}

// OpenKey reads the key, or makes one of the given name where the file is
// absent.
func OpenKey(file, name string) (k *Key, made bool, err error) {
	k, err = ReadKey(file)
	if errors.Is(err, fs.ErrNotExist) {
		k, err = newKey(file, name)
		return k, err == nil, err
	}
	return k, false, err
}

// ReadKey reads the key.
func ReadKey(file string) (*Key, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint key: %w", err)
	}
	secret, public, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint key %s: %w: restore the file, or move it away to have a new key made", file, err)
	}
	v, err := note.NewVerifier(public)
	if err != nil || v.Name() != signer.Name() || v.KeyHash() != signer.KeyHash() {
		return nil, fmt.Errorf("read checkpoint key %s: its second line is not the public key of the first: restore the file", file)
	}
	return &Key{signer: signer, Public: public, File: file}, nil
}

// newKey writes a new key, readable for its owner alone, and adds the public
// one to those that were used before.
func newKey(file, name string) (*Key, error) {
	if err := CheckName(name); err != nil {
		return nil, fmt.Errorf("make checkpoint key: name %q: %w", name, err)
	}
	secret, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, fmt.Errorf("make checkpoint key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return nil, fmt.Errorf("make checkpoint key: %w", err)
	}
	// The public key first: it must be there when something was signed.
	known, err := os.OpenFile(PublicFile(file), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("note public key: %w", err)
	}
	_, err = known.WriteString(public + "\n")
	if err := errors.Join(err, known.Sync(), known.Close()); err != nil {
		return nil, fmt.Errorf("note public key in %s: %w", PublicFile(file), err)
	}
	if err := writeFile(file, []byte(secret+"\n"+public+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("write checkpoint key: %w", err)
	}
	return ReadKey(file)
}

// Rotate puts a new key of the same name in the old one's place. The old public
// key stays among those that verify; what signed is gone.
func Rotate(file string) (*Key, error) {
	old, err := ReadKey(file)
	if err != nil {
		return nil, err
	}
	return newKey(file, old.Name())
}

// PublicFile is where the public keys lie that belong to a key file, one a line.
func PublicFile(file string) string { return file + ".pub" }

// Verifiers reads public keys: each text is one, or the name of a file with one
// a line.
func Verifiers(texts ...string) (note.Verifiers, error) {
	var list []note.Verifier
	for _, text := range texts {
		keys, file := text, ""
		b, err := os.ReadFile(text)
		switch {
		case err == nil:
			keys, file = string(b), text
		case !strings.Contains(text, "+"): // as every key does
			return nil, fmt.Errorf("read public keys: %w", err)
		}
		n := 0
		for line := range strings.Lines(keys) {
			n++
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			v, err := note.NewVerifier(line)
			if err != nil {
				at := ""
				if file != "" {
					at = fmt.Sprintf("%s:%d: ", file, n)
				}
				return nil, fmt.Errorf("%sread public key %q: %w: want NAME+HASH+KEY, as nines ledger key prints it", at, line, err)
			}
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("read public keys: there are none")
	}
	return note.VerifierList(list...), nil
}

// Sign signs a log as it stood at a log time.
func (k *Key) Sign(tree tlog.Tree, at time.Time) (*Checkpoint, error) {
	c := &Checkpoint{Name: k.Name(), Tree: tree, Time: at.UTC().Truncate(time.Millisecond)}
	signed, err := note.Sign(&note.Note{Text: c.text()}, k.signer)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	c.Note = signed
	return c, nil
}

// writeFile makes the file appear whole, on the disk.
func writeFile(file string, b []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
