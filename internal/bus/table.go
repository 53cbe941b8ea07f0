package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Table is one partition of a compacted topic held as a map: the last record of
// each key is its value, and a record without a value deletes the key. It is
// safe for concurrent use.
type Table struct {
	c         *Client
	topic     string
	partition int32
	producer  *Producer

	mu      sync.RWMutex
	entries map[string]entry
	next    int64 // all records before it are applied
}

// entry remembers the offset, so that a record that was put here and applied at
// once is not undone by an older one that is read later. A deleted key keeps an
// entry without value until the tail has passed it.
type entry struct {
	value  []byte
	offset int64
}

// tableWait is how long the tail waits at the broker.
const tableWait = 5 * time.Second

// NewTable returns an empty table; Load fills it.
func NewTable(c *Client, topic string, partition int32) *Table {
	return &Table{c: c, topic: topic, partition: partition, producer: c.Producer(topic, partition), entries: map[string]entry{}}
}

// Load reads the partition to its end as of now. It makes one attempt and
// starts from the beginning each time.
func (t *Table) Load(ctx context.Context) error {
	entries, next, err := t.read(ctx)
	if err != nil {
		return fmt.Errorf("load table %s/%d: %w", t.topic, t.partition, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries, t.next = entries, next
	return nil
}

func (t *Table) read(ctx context.Context) (map[string]entry, int64, error) {
	first, _, err := t.c.Offsets(ctx, t.topic, t.partition)
	if err != nil {
		return nil, 0, err
	}
	// What of a key was in a damaged batch is its older value, which is the best
	// that is left.
	entries := map[string]entry{}
	r := t.c.Reader(t.topic, t.partition, first)
	err = r.Drain(ctx, func(rec *Record) { apply(entries, string(rec.Key), rec.Value, rec.Offset) })
	if err != nil {
		return nil, 0, err
	}
	maps.DeleteFunc(entries, func(_ string, e entry) bool { return e.value == nil })
	return entries, r.Offset(), nil
}

// apply returns whether the record is news.
func apply(entries map[string]entry, key string, value []byte, offset int64) bool {
	if e, ok := entries[key]; ok && e.offset >= offset {
		return false
	}
	entries[key] = entry{value: slices.Clone(value), offset: offset}
	return true
}

// Get returns the value of a key. The caller must not change it.
func (t *Table) Get(key string) ([]byte, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	e := t.entries[key]
	return e.value, e.value != nil
}

// Keys returns all keys, sorted.
func (t *Table) Keys() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]string, 0, len(t.entries))
	for k, e := range t.entries {
		if e.value != nil {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// Put stores a value, nil to delete the key, and returns when all replicas have
// it and this table shows it. It retries until the context ends.
func (t *Table) Put(ctx context.Context, key string, value []byte) error {
	base, err := t.producer.ProduceRetry(ctx, func() []Record {
		return []Record{{Key: []byte(key), Value: value}}
	})
	if err != nil {
		return fmt.Errorf("put %q into table %s/%d: %w", key, t.topic, t.partition, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	apply(t.entries, key, value, base)
	return nil
}

// Run follows the partition from where Load ended until ctx ends, and calls
// onChange (may be nil) for every record that it reads, in order; value nil
// means deleted. Own Puts come by too. If the topic was recreated, it is read
// again and onChange hears of every key that differs. The key and value may be
// kept. The error is always nil.
func (t *Table) Run(ctx context.Context, onChange func(key string, value []byte)) error {
	if onChange == nil {
		onChange = func(string, []byte) {}
	}
	t.mu.RLock()
	r := t.c.Reader(t.topic, t.partition, t.next)
	t.mu.RUnlock()
	trouble := &trouble{log: t.c.log, what: fmt.Sprintf("following table %s/%d", t.topic, t.partition)}
	for b := (backoff{}); ctx.Err() == nil; {
		recs, err := r.Fetch(ctx, tableWait)
		var oor *ErrOutOfRange
		if errors.As(err, &oor) {
			err = t.reload(ctx, r, onChange)
		}
		if r.skip(err) {
			continue
		}
		if err != nil {
			if ctx.Err() == nil {
				trouble.fail(err)
			}
			_ = b.wait(ctx)
			continue
		}
		trouble.ok()
		b.reset()
		t.follow(recs, r.Offset(), onChange)
	}
	return nil
}

func (t *Table) follow(recs []Record, next int64, onChange func(string, []byte)) {
	for i := range recs {
		key, value := string(recs[i].Key), slices.Clone(recs[i].Value)
		t.mu.Lock()
		apply(t.entries, key, value, recs[i].Offset)
		if e := t.entries[key]; e.value == nil && e.offset <= recs[i].Offset {
			delete(t.entries, key)
		}
		t.next = recs[i].Offset + 1
		t.mu.Unlock()
		onChange(key, value)
	}
	t.mu.Lock()
	t.next = next
	t.mu.Unlock()
}

// reload replaces the map after the log was recreated.
func (t *Table) reload(ctx context.Context, r *Reader, onChange func(string, []byte)) error {
	entries, next, err := t.read(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	old := t.entries
	t.entries, t.next = entries, next
	t.mu.Unlock()
	r.SeekTo(next)
	for _, key := range slices.Sorted(maps.Keys(old)) {
		if _, ok := entries[key]; !ok && old[key].value != nil {
			onChange(key, nil)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		if e := entries[key]; !slices.Equal(e.value, old[key].value) || old[key].value == nil {
			onChange(key, e.value)
		}
	}
	return nil
}
