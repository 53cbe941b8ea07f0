package ledger

import (
	"context"
	"database/sql"
	"sync"

	"nines/internal/access"
	"nines/internal/wire"
)

// Bounds of what is remembered for Changes.
const (
	feedCommits = 256
	feedGroups  = 200_000
)

// ChangeSet says what commits changed. It tells what to read again, not the
// new values.
type ChangeSet struct {
	// All says that too much time has passed, or another process committed:
	// anything may have changed.
	All bool
	// Groups that got slots, sketches or statuses.
	Groups []wire.GroupKey
	// Alerts, Gaps, Agents and RuleSet say that there is news of these.
	Alerts, Gaps, Agents, RuleSet bool
}

// Empty says that nothing changed that the principal could see.
func (c *ChangeSet) Empty() bool {
	return !c.All && len(c.Groups) == 0 && !c.Alerts && !c.Gaps && !c.Agents && !c.RuleSet
}

// Changes returns what changed after the cursor, and the cursor for the next
// call. Cursors count commits and rise for ever, across restarts and processes;
// start with 0, which answers All.
func (l *Ledger) Changes(ctx context.Context, p access.Principal, cursor int64) (next int64, set ChangeSet, err error) {
	err = l.view(ctx, "read changes of", func(tx *sql.Tx) error {
		return l.viewer(ctx, tx).row(`SELECT COALESCE(MAX(commits), 0) FROM claims`).Scan(&next)
	})
	if err != nil {
		return cursor, ChangeSet{}, err
	}
	return next, l.feed.between(p, cursor, next), nil
}

// Watch returns a channel that receives after commits of this process; several
// commits may give one signal. Call stop when done.
func (l *Ledger) Watch() (signal <-chan struct{}, stop func()) { return l.feed.watch() }

// commitNote is what a commit changed.
type commitNote struct {
	number   int64
	restated int // slots
	// sketches and statuses of groups that are not known
	sketches, statuses int
	groups             []noteGroup
	set                ChangeSet // without groups
}

type noteGroup struct {
	key      wire.GroupKey
	customer string
}

func (n *commitNote) describe(known *knownGroups, b *Batch) {
	for key := range b.groupKeys() {
		if g := known.groups[key]; g != nil {
			n.groups = append(n.groups, noteGroup{key, g.Customer})
		}
	}
	n.set = ChangeSet{Alerts: len(b.Alerts) > 0, Gaps: len(b.Gaps) > 0, Agents: len(b.Agents) > 0, RuleSet: b.RuleSet != nil}
}

// feed remembers the latest commits of this process and wakes who watches.
type feed struct {
	mu       sync.Mutex
	notes    map[int64]commitNote
	oldest   int64 // number of the oldest note
	groups   int   // in all notes
	watchers map[chan struct{}]bool
}

func newFeed() *feed {
	return &feed{notes: map[int64]commitNote{}, watchers: map[chan struct{}]bool{}}
}

func (f *feed) add(n commitNote) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notes[n.number] = n
	f.groups += len(n.groups)
	if len(f.notes) == 1 {
		f.oldest = n.number
	}
	for len(f.notes) > 1 && (len(f.notes) > feedCommits || f.groups > feedGroups) {
		if old, ok := f.notes[f.oldest]; ok {
			f.groups -= len(old.groups)
			delete(f.notes, f.oldest)
		}
		f.oldest++
	}
	for w := range f.watchers {
		select {
		case w <- struct{}{}:
		default: // a signal is waiting already
		}
	}
}

// between merges the notes (from, to]; a missing one means anything.
func (f *feed) between(p access.Principal, from, to int64) ChangeSet {
	if from >= to {
		return ChangeSet{All: from > to} // above: the ledger was replaced by an older copy
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if from <= 0 || to-from > int64(len(f.notes)) {
		return ChangeSet{All: true}
	}
	var set ChangeSet
	seen := map[wire.GroupKey]bool{}
	for n := from + 1; n <= to; n++ {
		note, ok := f.notes[n]
		if !ok {
			return ChangeSet{All: true}
		}
		set.Alerts = set.Alerts || note.set.Alerts
		set.RuleSet = set.RuleSet || note.set.RuleSet
		set.Gaps = set.Gaps || note.set.Gaps && p.Operator
		set.Agents = set.Agents || note.set.Agents && p.Operator
		for _, g := range note.groups {
			if p.Sees(g.customer) && !seen[g.key] {
				seen[g.key] = true
				set.Groups = append(set.Groups, g.key)
			}
		}
	}
	return set
}

func (f *feed) watch() (<-chan struct{}, func()) {
	w := make(chan struct{}, 1)
	f.mu.Lock()
	f.watchers[w] = true
	f.mu.Unlock()
	return w, func() {
		f.mu.Lock()
		delete(f.watchers, w)
		f.mu.Unlock()
	}
}
