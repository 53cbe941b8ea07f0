package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"nines/internal/access"
	"nines/internal/wire"
)

// LogTree is the log as it stands.
type LogTree struct {
	// Tree has the number of leaves and their root, which a checkpoint signs.
	tlog.Tree
	// LogTime of the ledger, Unix milliseconds.
	LogTime int64
	// From is the first hour whose slots the ledger still has, and Until the
	// first that was not logged, Unix milliseconds. 0 where there is none.
	From, Until int64
}

// logView is the log on one consistent state.
type logView struct {
	hours []loggedHour
	tree  hashTree
}

func readLog(v *viewer) (*logView, error) {
	hours, err := readLoggedHours(v)
	if err != nil {
		return nil, err
	}
	l := &logView{hours: hours}
	for i := range hours {
		if err := l.tree.add(tlog.RecordHash(hours[i].text())); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// LogTree returns the size and root of the log.
func (l *Ledger) LogTree(ctx context.Context) (LogTree, error) {
	var t LogTree
	err := l.view(ctx, "read the log of", func(tx *sql.Tx) error {
		v := l.viewer(ctx, tx)
		log, err := readLog(v)
		if err != nil {
			return err
		}
		state, err := scanLogState(v, "")
		if err != nil {
			return err
		}
		if len(log.hours) > 0 {
			t.From, t.Until = state.pruned, state.until
			first := log.hours[0].hour
			for _, h := range log.hours {
				first = min(first, h.hour)
			}
			t.From = max(t.From, first)
		}
		t.N = log.tree.size
		if t.Hash, err = log.tree.root(t.N); err != nil {
			return err
		}
		return v.row(`SELECT COALESCE(MAX(log_time), 0) FROM claims`).Scan(&t.LogTime)
	})
	return t, err
}

// Compare holds the log to trees that were signed earlier, ascending by size,
// and names what lies between the last that it continues and the first that it
// does not. Its error is an ErrRewritten.
func (l *Ledger) Compare(ctx context.Context, signed []tlog.Tree) error {
	return l.view(ctx, "compare the log of", func(tx *sql.Tx) error {
		log, err := readLog(l.viewer(ctx, tx))
		if err != nil {
			return err
		}
		held := int64(0)
		for _, s := range signed {
			if s.N > log.tree.size {
				return fmt.Errorf("%w: a checkpoint was signed over %d leaves, and the log has %d: it was cut off, or an older copy of the ledger was restored",
					ErrRewritten, s.N, log.tree.size)
			}
			root, err := log.tree.root(s.N)
			if err != nil {
				return err
			}
			if root != s.Hash {
				return fmt.Errorf("%w: the first %d leaves of the log are not those that a checkpoint was signed over; %s",
					ErrRewritten, s.N, log.between(held, s.N))
			}
			held = s.N
		}
		return nil
	})
}

// between says of which hours the leaves [from, to) are.
func (l *logView) between(from, to int64) string {
	if from == to {
		return "a checkpoint of as many leaves has another root: two logs were signed"
	}
	first, last := l.hours[from].hour, l.hours[from].hour
	for _, h := range l.hours[from:to] {
		first, last = min(first, h.hour), max(last, h.hour)
	}
	return fmt.Sprintf("up to leaf %d it is the same; what was rewritten lies in the hours from %s to %s, or in a leaf of them",
		from, hourText(first), hourText(last))
}

// Proof shows that a group's slots of one hour are in the log. With the
// checkpoint of the size it is checked without the ledger: Leaf is in the hour's
// tree, the hour in the log's.
type Proof struct {
	// Leaf is the text of the group's leaf.
	Leaf string `json:"leaf"`
	// Member is the leaf's number in its hour's tree of Groups leaves.
	Member      int64            `json:"member"`
	Groups      int64            `json:"groups"`
	MemberProof tlog.RecordProof `json:"member_proof"`
	// Hour is the text of the log's leaf, and Number its number in it.
	Hour   string           `json:"hour"`
	Number int64            `json:"number"`
	Proof  tlog.RecordProof `json:"proof"`
}

// Prove returns the proofs that the group's slots of an hour (Unix milliseconds)
// are among the first size leaves of the log: one for what was logged first, and
// one for each addition. It is ErrNotFound where there is none, and ErrRewritten
// where the slots are not what was logged.
func (l *Ledger) Prove(ctx context.Context, p access.Principal, key wire.GroupKey, hour, size int64) ([]Proof, error) {
	var out []Proof
	err := l.ofGroup(ctx, p, key, "prove slots of", func(v *viewer, id int64) error {
		log, err := readLog(v)
		if err != nil {
			return err
		}
		state, err := scanLogState(v, "")
		if err != nil {
			return err
		}
		hour = hourOf(hour)
		if size > log.tree.size {
			return fmt.Errorf("%w: the checkpoint is over %d leaves, the log has %d", ErrRewritten, size, log.tree.size)
		}
		if hour < state.pruned {
			return fmt.Errorf("%w: retention took the slots before %s", ErrNotFound, hourText(state.pruned))
		}
		if out, err = log.prove(v, id, hour, size, state.secret); err == nil && len(out) == 0 {
			err = fmt.Errorf("%w: the checkpoint's log does not hold the group's hour %s; it closes %d minutes after its end",
				ErrNotFound, hourText(hour), logAfter/60_000)
		}
		return err
	})
	return out, err
}

// prove finds the leaves of the group and proves each.
func (l *logView) prove(v *viewer, id, hour, size int64, secret []byte) ([]Proof, error) {
	hours, err := readHours(v)
	if err != nil {
		return nil, err
	}
	slots, err := readHourSlots(hours, hour, &logGroups{q: v})
	if err != nil {
		return nil, err
	}
	c := &logCheck{check: &check{v: v, progress: Progress(nil).orNone()}, state: logState{secret: secret}, slots: slots}
	var leaves []loggedHour
	for _, h := range l.hours {
		if h.hour == hour {
			leaves = append(leaves, h)
		}
	}
	members := make([][]member, len(leaves))
	if err := c.readMembers(leaves, members); err != nil {
		return nil, err
	}
	if err := c.readPending(); err != nil {
		return nil, err
	}
	for _, ms := range members {
		for i := range ms {
			for _, s := range ms[i].slots {
				slots.logged[groupVersion{ms[i].group, s}] = true
			}
		}
	}
	var out []Proof
	for i, h := range leaves {
		p, err := l.proveLeaf(slots, &h, members[i], id, size, secret)
		if err != nil {
			return nil, err
		}
		if p != nil {
			out = append(out, *p)
		}
	}
	return out, nil
}

// proveLeaf proves the group's part of one leaf; nil if it has none.
func (l *logView) proveLeaf(slots *hourSlots, h *loggedHour, members []member, id, size int64, secret []byte) (*Proof, error) {
	p := &Proof{Member: -1, Groups: h.groups, Hour: string(h.text()), Number: h.leaf}
	var tree hashTree
	var failed error
	for i, hash := range slots.hashes(members, secret, h.leaf, func(_ *member, _ tlog.Hash, _ int, err error) {
		if err != nil {
			failed = err
		}
	}) {
		if members[i].group == id {
			p.Member = int64(i)
		}
		if err := tree.add(hash); err != nil {
			return nil, err
		}
	}
	if failed != nil || p.Member < 0 || h.leaf >= size {
		return nil, failed
	}
	text, _, err := slots.leaf(nil, &members[p.Member], leafSalt(secret, h.leaf, id))
	if err != nil {
		return nil, err
	}
	p.Leaf = string(text)
	if root, err := tree.root(tree.size); err != nil || root != h.root {
		return nil, fmt.Errorf("%w: hour %s is not what was logged; nines ledger verify names the groups", ErrRewritten, hourText(h.hour))
	}
	if p.MemberProof, err = tlog.ProveRecord(tree.size, p.Member, &tree); err != nil {
		return nil, err
	}
	p.Proof, err = tlog.ProveRecord(size, h.leaf, &l.tree)
	return p, err
}
