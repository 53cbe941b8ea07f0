// Package broker is the Kafka broker inside `nines up`: one process, one
// machine, one copy of the data, for trying nines out, for tests and for small
// sites. A fleet uses Apache Kafka. It is the only importer of kfake.
//
// What it promises:
//
//   - A record is on disk (fsync) before it is acknowledged; so are group
//     offsets. kill -9 at any moment loses nothing that was acknowledged.
//   - The address stays the same over restarts as long as the port is free.
//   - The data directory is held by one process at a time.
//   - Retention by time and by bytes and the compaction of compacted topics run
//     on a schedule, so that disk and memory stay bounded for weeks. Records lie
//     on disk; memory holds about 80 bytes for each batch.
//
// What it does not: replicas, quotas, access control, and a log position that
// survives its topic: where retention has removed every record of a partition,
// the next start begins at offset 0 again, which readers see as a recreated
// topic. After a kill, a start reads the whole log once.
package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Config says where the broker keeps its data and where it listens.
type Config struct {
	// DataDir is created if absent. It belongs to the broker alone.
	DataDir string `yaml:"data_dir"`
	// Listen is host:port. Port 0 means the port of the last run if it is
	// free, else any. The host must be one address, because clients are told to
	// connect to it (127.0.0.1:0).
	Listen string `yaml:"listen,omitempty"`
	// Retention is how long records of topics without a retention of their own
	// are kept (24h).
	Retention time.Duration `yaml:"retention,omitempty"`
	// RetentionBytes bounds each partition of such topics on disk, beyond one
	// segment of 16 MiB (256 MiB).
	RetentionBytes int64 `yaml:"retention_bytes,omitempty"`
}

// User may log in, with all rights.
type User struct {
	// Mechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
	Mechanism, Name, Password string
}

// Options are what a Broker is made of. Log may be nil.
type Options struct {
	Config Config
	Log    *slog.Logger
	// Users turn on SASL; without any, every client is let in. They are stored
	// with the data and take effect when the data directory is created.
	Users []User
}

const (
	defaultListen         = "127.0.0.1:0"
	defaultRetention      = 24 * time.Hour
	defaultRetentionBytes = 256 << 20
	segmentBytes          = 16 << 20
	// housekeeping is how often retention and compaction are considered. The
	// first round comes after one interval, not at the start: the owners of the
	// partitions get time to write, so that retention after a long pause does
	// not empty a log to the last record and with it forget its position.
	housekeeping = time.Minute
)

// Broker is an embedded Kafka broker.
type Broker struct {
	cfg   Config
	users []User
	log   *slog.Logger
	ready chan struct{}
	klog  *kfakeLog

	mu   sync.Mutex
	addr string
}

// New checks the configuration. It touches nothing.
func New(o Options) (*Broker, error) {
	cfg := o.Config
	cfg.Listen = cmp.Or(cfg.Listen, defaultListen)
	if cfg.Retention == 0 {
		cfg.Retention = defaultRetention
	}
	if cfg.RetentionBytes == 0 {
		cfg.RetentionBytes = defaultRetentionBytes
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure the broker: %w", err)
	}
	b := &Broker{cfg: cfg, users: o.Users, log: o.Log, ready: make(chan struct{})}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	b.klog = &kfakeLog{log: b.log, dir: cfg.DataDir}
	return b, nil
}

// Validate reports everything that is wrong with the configuration at once. Zero
// values stand for the defaults.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.DataDir == "" {
		bad("data_dir: missing")
	}
	host, port, err := net.SplitHostPort(cmp.Or(c.Listen, defaultListen))
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || n < 0 || n > 65535 {
		bad("listen: want host:port, got %q", c.Listen)
	} else if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		bad("listen: name one address that clients can connect to, got %q", c.Listen)
	}
	if c.Retention < 0 {
		bad("retention: must not be negative, got %s", c.Retention)
	}
	if c.RetentionBytes < 0 {
		bad("retention_bytes: must not be negative, got %d", c.RetentionBytes)
	}
	return errors.Join(errs...)
}

// Ready is closed when clients can connect. If Run fails before that, it never
// is: watch Run's result too.
func (b *Broker) Ready() <-chan struct{} { return b.ready }

// Addr is host:port, known once Ready is closed.
func (b *Broker) Addr() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.addr
}

// Health is nil while records can be written to disk.
func (b *Broker) Health() error {
	select {
	case <-b.ready:
	default:
		return errors.New("starting")
	}
	return b.klog.recent(time.Now())
}

// Run opens the data directory, serves until ctx ends and closes it.
func (b *Broker) Run(ctx context.Context) error {
	unlock, err := lockDir(b.cfg.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	logDir := filepath.Join(b.cfg.DataDir, "log")
	if err := restore(logDir); err != nil {
		return fmt.Errorf("undo an interrupted compaction in %s: %w", logDir, err)
	}
	ln, err := b.listen()
	if err != nil {
		return err
	}
	cluster, err := kfake.NewCluster(b.options(ln, logDir)...)
	if err != nil {
		_ = ln.Close()
		return fmt.Errorf("open broker data directory %s: %w", b.cfg.DataDir, err)
	}
	defer cluster.Close()
	b.mu.Lock()
	b.addr = ln.Addr().String()
	b.mu.Unlock()
	b.log.Info("embedded Kafka broker listens; it keeps one copy and is meant for one machine",
		"addr", ln.Addr().String(), "data", b.cfg.DataDir)
	close(b.ready)
	b.keepHouse(ctx, cluster, logDir)
	return nil
}

func (b *Broker) options(ln net.Listener, dir string) []kfake.Opt {
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("nines"),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return ln, nil }),
		kfake.DataDir(dir),
		kfake.SyncWrites(),
		kfake.DefaultNumPartitions(1),
		kfake.WithLogger(b.klog),
		kfake.BrokerConfigs(map[string]string{
			"log.retention.ms":    strconv.FormatInt(b.cfg.Retention.Milliseconds(), 10),
			"log.retention.bytes": strconv.FormatInt(b.cfg.RetentionBytes, 10),
			"log.segment.bytes":   strconv.Itoa(segmentBytes),
			// Its own compaction is not safe against kill -9; see compact.go.
			"log.cleaner.backoff.ms":    strconv.FormatInt((100 * 365 * 24 * time.Hour).Milliseconds(), 10),
			"offsets.retention.minutes": strconv.Itoa(10 * 365 * 24 * 60),
		}),
	}
	if len(b.users) > 0 {
		opts = append(opts, kfake.EnableSASL())
	}
	for _, u := range b.users {
		opts = append(opts, kfake.Superuser(u.Mechanism, u.Name, u.Password))
	}
	return opts
}

// keepHouse applies retention and compacts until ctx ends.
func (b *Broker) keepHouse(ctx context.Context, cluster *kfake.Cluster, dir string) {
	c := &compactor{cluster: cluster, dir: dir, log: b.log}
	t := time.NewTicker(housekeeping)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			cluster.ApplyRetention()
			c.round(ctx)
		}
	}
}

// listen opens the port asked for, or with port 0 the one of the last run.
func (b *Broker) listen() (net.Listener, error) {
	host, port, err := net.SplitHostPort(b.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", b.cfg.Listen, err)
	}
	if port != "0" {
		ln, err := net.Listen("tcp", b.cfg.Listen)
		if err != nil {
			return nil, fmt.Errorf("broker: listen on %s: %w: stop what uses the port, or choose another with broker.listen", b.cfg.Listen, rootCause(err))
		}
		return ln, nil
	}
	memory := filepath.Join(b.cfg.DataDir, "port")
	if last, err := os.ReadFile(memory); err == nil {
		if ln, err := net.Listen("tcp", net.JoinHostPort(host, string(last))); err == nil {
			return ln, nil
		}
		b.log.Warn("the broker's last port is taken, using another", "port", string(last))
	}
	ln, err := net.Listen("tcp", b.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("broker: listen on %s: %w", b.cfg.Listen, rootCause(err))
	}
	_, port, _ = net.SplitHostPort(ln.Addr().String())
	if err := writeFile(memory, []byte(port)); err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("write to broker data directory %s: %w", b.cfg.DataDir, rootCause(err))
	}
	return ln, nil
}

// rootCause drops the words around the operating system's reason, which repeat
// the address or the path.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// writeFile replaces a file as one step.
func writeFile(path string, data []byte) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
