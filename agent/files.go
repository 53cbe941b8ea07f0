package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
)

// Files returns the configuration file, the files of inputs and of probes that
// it names and the files of secrets that inputs name, as far as they can be read.
func Files(file string) []string {
	files := []string{file}
	cfg, err := Load(file)
	if err != nil {
		return files
	}
	for _, name := range cfg.InputsFiles {
		files = append(files, cfg.path(name))
	}
	for _, name := range cfg.Probes.Files() {
		files = append(files, cfg.path(name))
	}
	_, sec, _ := cfg.inputFiles() // what is wrong with them is for who loads them
	return append(files, sec.files...)
}

// Fingerprint changes when the text of any of Files does. A file that cannot be
// read has a text of its own.
func Fingerprint(file string) string {
	h := sha256.New()
	for _, name := range Files(file) {
		text, err := os.ReadFile(name)
		if err != nil {
			text = []byte(err.Error())
		}
		sum := sha256.Sum256(text)
		h.Write([]byte(name))
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// path returns where a file of the configuration is.
func (c *Config) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(c.Dir, name)
}
