package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Claim makes the owner the one writer of a partition: its epoch is above every
// earlier one, so that commits under those fail with ErrFenced from now on. A
// partition never claimed before starts at offset 0.
func (l *Ledger) Claim(ctx context.Context, partition int32, owner string) (*Claim, error) {
	c := &Claim{Partition: partition}
	var known *knownGroups
	err := l.inTx(ctx, "claim a partition in", func(w *writer) error {
		err := w.exec(`INSERT INTO claims (partition, epoch, owner, next_offset, log_time, sources, commits)
			VALUES (?, 1, ?, 0, 0, '[]', 0)
			ON CONFLICT (partition) DO UPDATE SET epoch = claims.epoch + 1, owner = excluded.owner`, partition, owner)
		if err != nil {
			return err
		}
		if err := w.readClaim(c); err != nil {
			return err
		}
		known, err = w.loadKnown(c)
		return err
	})
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.known[partition] = known
	l.mu.Unlock()
	return c, nil
}

// readClaim fills the claim in from its partition's row.
func (w *writer) readClaim(c *Claim) error {
	var epoch int64
	var sources string
	err := w.row(`SELECT epoch, next_offset, log_time, sources FROM claims WHERE partition = ?`, c.Partition).
		Scan(&epoch, &c.Offset, &c.LogTime, &sources)
	if err != nil {
		return err
	}
	c.Epoch = uint64(epoch)
	c.Sources = nil
	if err := json.Unmarshal([]byte(sources), &c.Sources); err != nil {
		return fmt.Errorf("%w: sources of partition %d: %w", ErrDamaged, c.Partition, err)
	}
	return nil
}

// advance moves the partition's offset, if it is still where the claim says. It
// is the first statement of every commit.
func (w *writer) advance(c *Claim, b *Batch) error {
	sources := b.Sources
	if sources == nil {
		sources = []Position{}
	}
	text, err := json.Marshal(sources)
	if err != nil {
		return err
	}
	n, err := w.execN(`UPDATE claims SET next_offset = ?, log_time = ?, sources = ?
		WHERE partition = ? AND epoch = ? AND next_offset = ?`,
		b.Offset, b.LogTime, string(text), c.Partition, int64(c.Epoch), c.Offset)
	if err != nil || n == 1 {
		return err
	}
	stored := Claim{Partition: c.Partition}
	switch err := w.readClaim(&stored); {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: partition %d has no claim at all", ErrFenced, c.Partition)
	case err != nil:
		return err
	case stored.Epoch != c.Epoch:
		return fmt.Errorf("%w: partition %d is at epoch %d, this claim has %d", ErrFenced, c.Partition, stored.Epoch, c.Epoch)
	}
	return fmt.Errorf("%w: partition %d is at offset %d, the claim at %d", ErrConflict, c.Partition, stored.Offset, c.Offset)
}

// adopt notes in the claim what was committed.
func (c *Claim) adopt(b *Batch) {
	c.Offset = b.Offset
	c.LogTime = b.LogTime
	c.Sources = slices.Clone(b.Sources)
}
