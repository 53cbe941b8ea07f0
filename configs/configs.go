// Package configs is the configuration that ships: what `nines init` writes out
// and `nines up` starts from, and worked examples.
package configs

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Files are the shipped files, below this folder.
//
//go:embed nines.yaml agent alerting contracts objectives rules scenarios systemd topology
var Files embed.FS

//go:embed examples
var examples embed.FS

// Write writes the shipped files below dir and returns those that it wrote. A
// file that exists is left as it is.
func Write(dir string) (written []string, err error) { return write(Files, dir) }

// Examples returns the names of the worked examples that `nines up` starts, in
// order: those with a process configuration.
func Examples() []string {
	entries, err := examples.ReadDir("examples")
	if err != nil {
		return nil // the folder is embedded: it is there
	}
	var names []string
	for _, e := range entries {
		if _, err := fs.Stat(examples, path.Join("examples", e.Name(), "nines.yaml")); err == nil {
			names = append(names, e.Name())
		}
	}
	return names
}

// Fleet returns the simulation that `nines sim` plays where nothing else is
// said: hosts and a service in every zone of any topology, and no faults.
func Fleet() ([]byte, error) { return examples.ReadFile("examples/fleet/simulation.yaml") }

// Topology returns the shipped topology as one file's text.
func Topology() ([]byte, error) {
	entries, err := Files.ReadDir("topology")
	if err != nil {
		return nil, err
	}
	var all []byte
	for _, e := range entries {
		text, err := Files.ReadFile(path.Join("topology", e.Name()))
		if err != nil {
			return nil, err
		}
		all = append(append(all, "---\n"...), text...)
	}
	return all, nil
}

// WriteExample does with the worked example of that name what Write does with
// the shipped files.
func WriteExample(name, dir string) (written []string, err error) {
	if !slices.Contains(Examples(), name) {
		return nil, fmt.Errorf("no example is called %q; there are: %s", name, strings.Join(Examples(), ", "))
	}
	sub, err := fs.Sub(examples, path.Join("examples", name))
	if err != nil {
		return nil, err
	}
	return write(sub, dir)
}

func write(files fs.FS, dir string) (written []string, err error) {
	err = fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, path)
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
