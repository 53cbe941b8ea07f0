package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// compactor compacts the compacted topics when they have grown.
//
// kfake removes a partition's files before it writes the compacted ones, so a
// kill between the two would lose checkpoints and rules. Before compacting we
// therefore link the files into a directory of their own, which restore puts
// back at the next start, and unlink it afterwards. For the two to agree, no
// record may arrive meanwhile: the whole step runs inside a kfake control
// function, during which kfake serves no request.
type compactor struct {
	cluster *kfake.Cluster
	dir     string
	log     *slog.Logger
	// after is the size of the compacted topics after the last compaction.
	after int64
}

const (
	backupName = "compacting" // complete once it has this name
	tmpSuffix  = ".tmp"
	minGrowth  = 4 << 20
	// idleLimit is how long to wait for a request to run inside of. Without
	// requests nothing grows either.
	idleLimit = 10 * time.Second
)

// round compacts if the compacted topics hold twice what they held after the
// last time and some more. A failure is logged; the next round tries again.
func (c *compactor) round(ctx context.Context) {
	parts, err := compactedPartitions(c.dir)
	if err != nil {
		c.log.Error("reading the broker's topics fails, nothing is compacted", "err", err)
		return
	}
	size := dataBytes(parts)
	if size < 2*c.after+minGrowth {
		return
	}
	start := time.Now()
	done, err := c.quiesced(ctx, func() error { return c.compact(parts) })
	if err != nil {
		c.log.Error("compacting the broker's topics fails", "err", err)
	}
	if !done || err != nil {
		return
	}
	c.after = dataBytes(parts)
	c.log.Debug("compacted topics", "before", size, "after", c.after, "took", time.Since(start))
}

func (c *compactor) compact(parts []string) error {
	backup := filepath.Join(c.dir, backupName)
	if err := link(parts, backup); err != nil {
		return fmt.Errorf("link files into %s: %w", backup, err)
	}
	c.cluster.Compact()
	return discard(backup)
}

// discard removes a backup. It takes away its name first: half a backup must
// not be taken for a whole one.
func discard(backup string) error {
	if err := os.Rename(backup, backup+tmpSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(backup + tmpSuffix)
}

// quiesced runs f while kfake handles no request, and tells whether it ran.
func (c *compactor) quiesced(ctx context.Context, f func() error) (ran bool, err error) {
	const waiting, begun, given = 0, 1, 2
	var state atomic.Int32
	done := make(chan struct{})
	c.cluster.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
		c.cluster.DropControl()
		if state.CompareAndSwap(waiting, begun) {
			err = f()
			close(done)
		}
		return nil, nil, false
	})
	t := time.NewTimer(idleLimit)
	defer t.Stop()
	select {
	case <-done:
		return true, err
	case <-ctx.Done():
	case <-t.C:
	}
	if state.CompareAndSwap(waiting, given) {
		return false, nil
	}
	<-done
	return true, err
}

// compactedPartitions returns the directories of the partitions of compacted
// topics, as kfake keeps them on disk.
func compactedPartitions(dir string) ([]string, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "topics.json"))
	if err != nil {
		return nil, err
	}
	var file struct {
		Topics []struct {
			Name       string            `json:"name"`
			Partitions int               `json:"partitions"`
			Configs    map[string]string `json:"configs"`
		} `json:"topics"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, fmt.Errorf("parse topics.json: %w", err)
	}
	var out []string
	for _, t := range file.Topics {
		if !strings.Contains(t.Configs["cleanup.policy"], "compact") {
			continue
		}
		for p := range t.Partitions {
			out = append(out, filepath.Join(dir, "partitions", fmt.Sprintf("%s-%d", url.PathEscape(t.Name), p)))
		}
	}
	return out, nil
}

func isData(name string) bool {
	ext := filepath.Ext(name)
	return ext == ".dat" || ext == ".idx"
}

func dataBytes(parts []string) (n int64) {
	for _, dir := range parts {
		entries, _ := os.ReadDir(dir) // a partition without records has none
		for _, e := range entries {
			if info, err := e.Info(); err == nil && isData(e.Name()) {
				n += info.Size()
			}
		}
	}
	return n
}

// link makes hard links of all data files under backup/<partition>/. Linking
// is instant and keeps the bytes when the originals are removed.
func link(parts []string, backup string) error {
	tmp := backup + tmpSuffix
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	for _, dir := range parts {
		to := filepath.Join(tmp, filepath.Base(dir))
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		if err := linkAll(dir, to); err != nil {
			return err
		}
	}
	return os.Rename(tmp, backup)
}

func linkAll(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if !isData(e.Name()) {
			continue
		}
		if err := os.Link(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// restore puts back what was there before a compaction that did not finish. It
// may itself be interrupted at any point and run again.
func restore(dir string) error {
	backup := filepath.Join(dir, backupName)
	if err := os.RemoveAll(backup + tmpSuffix); err != nil {
		return err
	}
	parts, err := os.ReadDir(backup)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range parts {
		live := filepath.Join(dir, "partitions", p.Name())
		if err := os.MkdirAll(live, 0o755); err != nil {
			return err
		}
		entries, err := os.ReadDir(live)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !isData(e.Name()) {
				continue
			}
			if err := os.Remove(filepath.Join(live, e.Name())); err != nil {
				return err
			}
		}
		if err := linkAll(filepath.Join(backup, p.Name()), live); err != nil {
			return err
		}
	}
	return discard(backup)
}
