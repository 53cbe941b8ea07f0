package ruler

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
)

// openStore opens the TSDB. Two hours are held in memory and the log of writes;
// what is older lies in blocks. Samples may come as late as the retention,
// because agents spool through outages.
func openStore(dir string, retention time.Duration, log *slog.Logger, reg prometheus.Registerer) (*tsdb.DB, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, explainStore(dir, err)
	}
	o := tsdb.DefaultOptions()
	o.RetentionDuration = retention.Milliseconds()
	o.MinBlockDuration = (2 * time.Hour).Milliseconds()
	o.MaxBlockDuration = o.MinBlockDuration
	o.OutOfOrderTimeWindow = retention.Milliseconds()
	db, err := tsdb.Open(filepath.Join(dir, "tsdb"), log, reg, o, nil)
	if err != nil {
		return nil, explainStore(dir, err)
	}
	return db, nil
}

// explainStore says what can be done about an error of the TSDB.
func explainStore(dir string, err error) error {
	hint := "if it is damaged, move the directory away: the ruler fills a new one from the log"
	switch {
	case errors.Is(err, syscall.EAGAIN), strings.Contains(err.Error(), "lock DB directory"):
		hint = "another process has it open: stop that one, or give this one its own ruler.dir"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		hint = "the disk is full: free space, or shorten ruler.retention"
	case errors.Is(err, syscall.EROFS):
		hint = "the file system is read-only: choose another ruler.dir"
	case errors.Is(err, fs.ErrPermission):
		hint = "this user may not write there: change its owner, or choose another ruler.dir"
	}
	return fmt.Errorf("open series store %s: %w (%s)", dir, err, hint)
}
