package ruler

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// position is how far one telemetry partition was written to the store.
type position struct {
	// Next is the offset of the next record to write.
	Next int64 `json:"next"`
	// LogTime is the partition's log time there, Unix milliseconds.
	LogTime int64 `json:"log_time"`
}

// positions are the ruler's bookmarks, kept in a file beside the store. The file
// is written after the store has the samples, so that a crash repeats some of
// them, which the store recognises, and never skips any.
type positions struct {
	path string

	mu    sync.Mutex
	parts map[string]position
	dirty bool
}

func loadPositions(dir string) (*positions, error) {
	p := &positions{path: filepath.Join(dir, "positions.json"), parts: map[string]position{}}
	b, err := os.ReadFile(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	if err := json.Unmarshal(b, &p.parts); err != nil {
		// Without bookmarks the log is read again from the start of the
		// retention: slower, and right.
		p.parts = map[string]position{}
	}
	return p, nil
}

func (p *positions) get(part string) (position, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pos, ok := p.parts[part]
	return pos, ok
}

func (p *positions) set(part string, pos position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts[part], p.dirty = pos, true
}

// logTime returns how far all partitions are written, in log time, Unix
// milliseconds; 0 before the first.
func (p *positions) logTime() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	oldest := int64(0)
	for _, pos := range p.parts {
		if oldest == 0 || pos.LogTime < oldest {
			oldest = pos.LogTime
		}
	}
	return oldest
}

// save writes the file if anything changed, atomically.
func (p *positions) save() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.dirty {
		return nil
	}
	b, err := json.Marshal(p.parts)
	if err != nil {
		return fmt.Errorf("write positions: %w", err)
	}
	tmp := p.path + ".tmp"
	if err := os.WriteFile(tmp, b, 0o640); err != nil {
		return fmt.Errorf("write positions: %w", err)
	}
	if err := os.Rename(tmp, p.path); err != nil {
		return fmt.Errorf("write positions: %w", err)
	}
	p.dirty = false
	return nil
}
