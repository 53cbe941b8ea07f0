// Package configs is the configuration that ships: what `nines init` writes out
// and `nines up` starts from.
package configs

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Files are the shipped files, below this folder.
//
//go:embed nines.yaml agent alerting contracts objectives rules topology
var Files embed.FS

// Write writes the shipped files below dir and returns those that it wrote. A
// file that exists is left as it is.
func Write(dir string) (written []string, err error) {
	err = fs.WalkDir(Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := Files.ReadFile(path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("create folder: %w", err)
		}
		f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
		_, err = f.Write(data)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("write %s: %w", to, err)
		}
		written = append(written, to)
		return nil
	})
	return written, err
}
