// Package rulelog is the rule sets on nines.rules: content-addressed, so that a
// tick names by an ID exactly what aggregate and evaluate count and judge by,
// and a set that was ever in force can be read again.
package rulelog

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"nines/internal/bus"
	"nines/internal/slo"
	"nines/internal/wire"
)

// keyCurrent holds the ID of the set that ticks name from now on.
const keyCurrent = "current"

// Log is the rule sets by ID. It is safe for concurrent use.
type Log struct {
	table *bus.Table
	mu    sync.Mutex
	sets  map[string]*slo.RuleSet
}

// New returns the log of the topic, which must exist, on the client.
func New(client *bus.Client) *Log {
	return &Log{table: bus.NewTable(client, wire.TopicRules, 0), sets: map[string]*slo.RuleSet{}}
}

// Load reads what the topic holds now.
func (l *Log) Load(ctx context.Context) error {
	if err := l.table.Load(ctx); err != nil {
		return fmt.Errorf("read rule sets: %w", err)
	}
	return nil
}

// Run follows the topic until the context ends.
func (l *Log) Run(ctx context.Context) error {
	return l.table.Run(ctx, func(string, []byte) {})
}

// Get returns the rule set of the ID.
func (l *Log) Get(id string) (*slo.RuleSet, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.sets[id]; s != nil {
		return s, true
	}
	b, ok := l.table.Get(id)
	if !ok {
		return nil, false
	}
	s := &slo.RuleSet{}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, false
	}
	l.sets[id] = s
	return s, true
}

// Stream returns the definition of the stream of the ID from whatever set holds
// it, nil where none does: a stream that is no longer in force still has slots
// to be closed.
func (l *Log) Stream(id string) *slo.Stream {
	for _, key := range l.table.Keys() {
		if key == keyCurrent {
			continue
		}
		if set, ok := l.Get(key); ok && set.Streams[id] != nil {
			return set.Streams[id]
		}
	}
	return nil
}

// Current returns the ID of the set that holds now, "" before the first.
func (l *Log) Current() string {
	b, _ := l.table.Get(keyCurrent)
	return string(b)
}

// Publish makes the set the current one, unless it is so already, and returns
// its ID.
func (l *Log) Publish(ctx context.Context, set *slo.RuleSet) (string, error) {
	id := set.ID()
	if _, ok := l.Get(id); !ok {
		b, err := json.Marshal(set)
		if err != nil {
			return "", fmt.Errorf("encode rule set: %w", err)
		}
		if err := l.table.Put(ctx, id, b); err != nil {
			return "", fmt.Errorf("publish rule set %s: %w", id, err)
		}
	}
	if l.Current() != id {
		if err := l.table.Put(ctx, keyCurrent, []byte(id)); err != nil {
			return "", fmt.Errorf("name rule set %s the current one: %w", id, err)
		}
	}
	return id, nil
}
