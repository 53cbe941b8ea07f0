package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/klauspost/compress/zstd"
	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/sasl"
)

// Options are what a Client is made of. Log and Metrics may be nil.
type Options struct {
	Config  Config
	Log     *slog.Logger
	Metrics *metrics.Set
	// MetadataTTL is the most that passes until what is known of the cluster is
	// asked for again although nothing failed; 30 s. An error has it asked for at
	// once.
	MetadataTTL time.Duration
}

// Client is one process's connection pool to one Kafka cluster. It is safe for
// concurrent use.
type Client struct {
	cfg Config
	log *slog.Logger
	m   *busMetrics

	sasl  sasl.Mechanism    // nil without authentication
	auth  *watchedMechanism // the same
	conns *conns
	addr  net.Addr

	transport *kafka.Transport
	kc        *kafka.Client
	zenc      *zstd.Encoder
	zpacked   *zstd.Encoder // for what is packed already; see Producer.Packed
	zdec      *zstd.Decoder

	stop context.CancelFunc

	mu          sync.Mutex
	closed      bool
	epoch       uint64 // counts how often the cached cluster was thrown away
	lastRefresh time.Time
	suspect     bool // throw it away before the next call
}

const (
	// maxFetchWait bounds how long a fetch may wait at the broker.
	maxFetchWait = 30 * time.Second
	// defaultMetadataTTL is long because errors throw the cached cluster away at once.
	defaultMetadataTTL = 30 * time.Second
	// refreshPause keeps many readers that fail together from making each
	// other reconnect over and over.
	refreshPause = 100 * time.Millisecond
	// maxBatchBytes bounds what one batch may grow to when decompressed.
	maxBatchBytes = 256 << 20
)

// New checks the configuration, reads the files it names and returns a client.
// It connects to nothing; see Ping.
func New(o Options) (*Client, error) {
	cfg := o.Config.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure Kafka: %w", err)
	}
	if _, err := cfg.TLS.config(); err != nil {
		return nil, fmt.Errorf("configure Kafka: %w", err)
	}
	if err := cfg.SASL.readable(); err != nil {
		return nil, fmt.Errorf("configure Kafka: %w", err)
	}
	c := &Client{cfg: cfg, log: o.Log, m: newMetrics(o.Metrics), addr: kafka.TCP(cfg.Brokers...)}
	if mech := cfg.SASL.mechanism(); mech != nil {
		c.auth = &watchedMechanism{Mechanism: mech}
		c.sasl = c.auth
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if err := c.newCodecs(); err != nil {
		return nil, fmt.Errorf("prepare zstd: %w", err)
	}
	c.conns = newConns(cfg, cfg.RequestTimeout+maxFetchWait)
	c.conns.connect = c.m.connects.Inc
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.transport = &kafka.Transport{
		Dial: c.conns.dial, DialTimeout: cfg.DialTimeout, IdleTimeout: time.Minute, MetadataTTL: cmp.Or(o.MetadataTTL, defaultMetadataTTL),
		ClientID: cfg.ClientID, SASL: c.sasl, Context: ctx,
	}
	c.kc = &kafka.Client{Addr: c.addr, Timeout: cfg.RequestTimeout, Transport: c.transport}
	return c, nil
}

// newCodecs keeps memory small: frames and partials are tens of kilobytes, far
// below the library's 8 MB window. The next level up takes twice the time to
// make a partial a tenth smaller.
func (c *Client) newCodecs() (err error) {
	options := []zstd.EOption{zstd.WithEncoderConcurrency(2), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1 << 20),
		zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true)}
	if c.zenc, err = zstd.NewWriter(nil, options...); err != nil {
		return err
	}
	if c.zpacked, err = zstd.NewWriter(nil, append(options, zstd.WithNoEntropyCompression(true))...); err != nil {
		return err
	}
	c.zdec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxBatchBytes))
	return err
}

// Close breaks all connections. Calls in flight fail.
func (c *Client) Close() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	c.transport.CloseIdleConnections()
	c.mu.Unlock()
	c.stop()
	c.conns.closeAll(true)
	_, _ = c.zenc.Close(), c.zpacked.Close()
	c.zdec.Close()
}

// call runs one request with a deadline of extra plus the request timeout, and
// makes its error readable. It throws the cached cluster away when that may be
// the reason, so that the next attempt sees leaders as they are.
func (c *Client) call(ctx context.Context, extra time.Duration, f func(ctx context.Context) error) error {
	epoch, err := c.begin()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	rctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout+extra)
	defer cancel()
	if err = f(rctx); err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if c.isClosed() {
		return ErrClosed
	}
	if unknownTopic(err) || errors.Is(err, protocol.ErrNoLeader) {
		// Before the first contact the library knows no topics at all; the
		// reason is then kept with the cached metadata.
		if _, merr := c.kc.Metadata(rctx, &kafka.MetadataRequest{}); merr != nil {
			err = merr
		} else if unknownTopic(err) {
			err = &explained{text: ErrUnknownTopic.Error() + ", or no ACL lets " + c.who() + " see it (DESCRIBE)", cause: errors.Join(ErrUnknownTopic, err)}
		}
	}
	if stale(err) {
		c.refresh(epoch)
	}
	return c.explain(err)
}

// lookUp is call for questions that may be asked twice: a broker that restarted
// leaves idle connections behind, and each fails the first request on it.
func (c *Client) lookUp(ctx context.Context, f func(ctx context.Context) error) error {
	err := c.call(ctx, 0, f)
	if broken(err) {
		err = c.call(ctx, 0, f)
	}
	return err
}

func (c *Client) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// begin returns the epoch to run a call in.
func (c *Client) begin() (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, ErrClosed
	}
	if c.suspect && time.Since(c.lastRefresh) >= refreshPause {
		c.renew()
	}
	return c.epoch, nil
}

// refresh throws the pool that was in use in the given epoch away, or marks it
// if the last one is too fresh. A pool must not be kept after an error: if the
// broker was away when it was made, it answers with that error for long.
func (c *Client) refresh(epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.epoch != epoch {
		return
	}
	c.suspect = true
	if time.Since(c.lastRefresh) >= refreshPause {
		c.renew()
	}
}

// forget throws away what is known of the cluster.
func (c *Client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.renew()
	}
}

// renew makes the next request start a new pool. Requests in flight on the old
// one finish.
func (c *Client) renew() {
	c.suspect = false
	c.epoch++
	c.lastRefresh = time.Now()
	c.transport.CloseIdleConnections()
}

// Brokers returns the configured addresses.
func (c *Client) Brokers() []string { return c.cfg.Brokers }
