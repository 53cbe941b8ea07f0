package alerting

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/silence/silencepb"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Store keeps what must survive a crash: a few documents by kind and key. The
// ledger implements it; every member of the group sees the same documents.
type Store interface {
	// List returns the documents of a kind by key.
	List(ctx context.Context, kind string) (map[string][]byte, error)
	// Put stores a document, in place of the one before, and returns when it is
	// durable.
	Put(ctx context.Context, kind, key string, blob []byte) error
	// Delete removes a document, if it is there.
	Delete(ctx context.Context, kind, key string) error
}

// Kinds of documents in the Store.
const (
	kindNotified = "notify/log"     // nflogpb.MeshEntry, by group and receiver
	kindSilence  = "notify/silence" // silencepb.MeshSilence, by silence ID
	kindOwn      = "notify/own"     // alert.Alert of the watchdog as JSON, by key
)

// storeTimeout bounds one write. A database that hangs must not hold
// notifications for long: a page twice is better than no page.
const storeTimeout = 3 * time.Second

// notifyLog is Alertmanager's notification log, written through to the store
// before the notification counts as sent: a crash right after a page does not
// page again.
type notifyLog struct {
	inner     *nflog.Log
	store     Store
	retention time.Duration
	health    *health
	inflight  *inflight
}

// Log notes a notification that was sent.
func (l *notifyLog) Log(r *nflogpb.Receiver, gkey string, firing, resolved []uint64, st *nflog.Store, expiry time.Duration) error {
	key := logKey(gkey, r.GroupName, r.Integration, int(r.Idx))
	defer l.inflight.end(key)
	if err := l.inner.Log(r, gkey, firing, resolved, st, expiry); err != nil {
		return err
	}
	entries, err := l.inner.Query(nflog.QReceiver(r), nflog.QGroupKey(gkey))
	if err != nil || len(entries) != 1 {
		return fmt.Errorf("read back notification log: %w", err)
	}
	keep := l.retention
	if expiry > 0 && expiry < keep {
		keep = expiry
	}
	e := &nflogpb.MeshEntry{Entry: entries[0], ExpiresAt: timestamppb.New(entries[0].Timestamp.AsTime().Add(keep))}
	var buf bytes.Buffer
	if _, err := protodelim.MarshalTo(&buf, e); err != nil {
		return fmt.Errorf("write notification log: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	err = l.store.Put(ctx, kindNotified, key, buf.Bytes())
	l.health.wrote(err)
	// A failed write is no failed notification: it went out, and an error here
	// would send it again now, instead of after a crash that may never come.
	return nil
}

// logKey names a group and one channel of a receiver.
func logKey(group, receiver, integration string, idx int) string {
	return fmt.Sprintf("%s:%s/%s/%d", group, receiver, integration, idx)
}

// Query looks a group up.
func (l *notifyLog) Query(params ...nflog.QueryParam) ([]*nflogpb.Entry, error) {
	return l.inner.Query(params...)
}

// health remembers whether the store takes writes, and says so once.
type health struct {
	log    *slog.Logger
	m      *counters
	mu     sync.Mutex
	failed error
}

func (h *health) wrote(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil:
		h.m.storeErrors.Inc()
		if h.failed == nil {
			h.log.Error("save alert state failed: after a crash now, notifications would repeat and silences be lost", "err", err)
		}
	case h.failed != nil:
		h.log.Info("save alert state works again")
	}
	h.failed = err
}

func (h *health) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed
}

// loadNotified fills the log from the store and drops what has expired.
func loadNotified(ctx context.Context, store Store, l *nflog.Log, log *slog.Logger) error {
	docs, err := store.List(ctx, kindNotified)
	if err != nil {
		return fmt.Errorf("read notification log: %w", err)
	}
	for key, b := range docs {
		if err := l.Merge(b); err != nil {
			log.Warn("notification log has an entry that cannot be read; its group may be notified again", "key", key, "err", err)
		}
	}
	return nil
}

// loadSilences fills the silences from the store.
func loadSilences(ctx context.Context, store Store, s *silence.Silences, log *slog.Logger) error {
	docs, err := store.List(ctx, kindSilence)
	if err != nil {
		return fmt.Errorf("read silences: %w", err)
	}
	for key, b := range docs {
		if err := s.Merge(b); err != nil {
			log.Error("a saved silence cannot be read and is not in force", "id", key, "err", err)
		}
	}
	return nil
}

// saveSilences returns what Silences calls with each changed silence, while the
// caller that changed it waits. The outcome lies in last until taken.
type saveSilences struct {
	store  Store
	health *health

	mu   sync.Mutex
	last error
}

func (s *saveSilences) broadcast(b []byte) {
	var m silencepb.MeshSilence
	err := protodelim.UnmarshalFrom(bytes.NewReader(b), &m)
	if err == nil && m.Silence == nil {
		err = errors.New("silence is empty")
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
		defer cancel()
		err = s.store.Put(ctx, kindSilence, m.Silence.Id, b)
	}
	s.health.wrote(err)
	s.mu.Lock()
	s.last = errors.Join(s.last, err)
	s.mu.Unlock()
}

// take returns the error of the writes since the last take.
func (s *saveSilences) take() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.last
	s.last = nil
	return err
}

// prune deletes from the store what has expired.
func prune(ctx context.Context, store Store, now time.Time) error {
	expired := map[string]func([]byte) bool{
		kindNotified: func(b []byte) bool {
			var e nflogpb.MeshEntry
			return protodelim.UnmarshalFrom(bytes.NewReader(b), &e) == nil && e.ExpiresAt.AsTime().Before(now)
		},
		kindSilence: func(b []byte) bool {
			var e silencepb.MeshSilence
			return protodelim.UnmarshalFrom(bytes.NewReader(b), &e) == nil && e.ExpiresAt.AsTime().Before(now)
		},
	}
	for kind, old := range expired {
		docs, err := store.List(ctx, kind)
		if err != nil {
			return fmt.Errorf("prune alert state: %w", err)
		}
		for key, b := range docs {
			if !old(b) {
				continue
			}
			if err := store.Delete(ctx, kind, key); err != nil {
				return fmt.Errorf("prune alert state: %w", err)
			}
		}
	}
	return nil
}
