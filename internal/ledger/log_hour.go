package ledger

import (
	"cmp"
	"database/sql"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// querier runs queries in a transaction, one that writes or one that reads.
type querier interface {
	query(q string, args ...any) (*sql.Rows, error)
}

// groupVersion names one version of a slot within an hour.
type groupVersion struct {
	group int64
	slotVersion
}

// hourSlots is all that the ledger holds of one hour's final slots: what is in
// force, and what was before.
type hourSlots struct {
	hour int64
	now  map[int64][]byte
	old  map[int64][]Versioned // by group
	// logged are versions that leaves name one by one, or that wait for one.
	logged map[groupVersion]bool
	groups *logGroups
}

func readHourSlots(r *hourReader, hour int64, groups *logGroups) (*hourSlots, error) {
	h := &hourSlots{hour: hour, old: map[int64][]Versioned{}, logged: map[groupVersion]bool{}, groups: groups}
	var err error
	if h.now, err = r.blocks(hour); err != nil {
		return nil, err
	}
	rows, err := r.q.query(`SELECT group_id, start, slot FROM slot_versions WHERE start >= ? AND start < ?`, hour, hour+hourMillis)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, start int64
		var blob sql.RawBytes
		if err := rows.Scan(&id, &start, &blob); err != nil {
			return nil, err
		}
		if h.old[id], err = decodeBlock(h.old[id], hour, blob); err != nil {
			return nil, damaged(start, id, err)
		}
	}
	return h, rows.Err()
}

// ids are the groups with slots, ascending.
func (h *hourSlots) ids() []int64 {
	var out []int64
	for id := range h.now {
		out = append(out, id)
	}
	for id := range h.old {
		if h.now[id] == nil {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// versions returns all versions of a group's slots, by start and version. It
// appends to dst.
func (h *hourSlots) versions(dst []Versioned, id int64) ([]Versioned, error) {
	dst = append(dst, h.old[id]...)
	if blob := h.now[id]; blob != nil {
		var err error
		if dst, err = h.groups.decoder.decode(dst, h.hour, blob); err != nil {
			return dst, damaged(h.hour, id, err)
		}
	}
	if len(h.old[id]) > 0 {
		slices.SortFunc(dst, func(a, b Versioned) int {
			return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Version, b.Version))
		})
	}
	return dst, nil
}

// leaf appends a member's leaf to b, and says how many versions it holds.
func (h *hourSlots) leaf(b []byte, m *member, salt []byte) (text []byte, n int, err error) {
	g, err := h.groups.get(m.group)
	if err != nil {
		return b, 0, err
	}
	if g == nil {
		return b, 0, nil
	}
	all, err := h.versions(h.groups.slots[:0], m.group)
	h.groups.slots = all
	if err != nil {
		return b, 0, err
	}
	b = appendLeafHead(b, &g.Group, !m.unnamed, h.hour, salt)
	var run slotRun
	for i := range all {
		v := &all[i]
		if !h.holds(m, slotVersion{v.Start, v.Version}) {
			continue
		}
		n++
		if !run.takes(v) {
			b = run.append(b)
			run = slotRun{first: v, n: 1}
		}
	}
	return run.append(b), n, nil
}

// holds tells whether a version belongs to the member's leaf.
func (h *hourSlots) holds(m *member, v slotVersion) bool {
	if len(m.slots) > 0 {
		return slices.Contains(m.slots, v)
	}
	return len(h.logged) == 0 || !h.logged[groupVersion{m.group, v}]
}

// hashes computes the leaves of an hour's members. Of a group that is not there,
// and of slots that do not decode, the hash is zero; each hears of all.
func (h *hourSlots) hashes(members []member, secret []byte, leaf int64, each func(m *member, hash tlog.Hash, versions int, err error)) []tlog.Hash {
	out := make([]tlog.Hash, len(members))
	for i := range members {
		m := &members[i]
		text, n, err := h.leaf(h.groups.text[:0], m, leafSalt(secret, leaf, m.group))
		h.groups.text = text
		if err == nil && len(text) > 0 {
			out[i] = tlog.RecordHash(text)
		}
		each(m, out[i], n, err)
	}
	return out
}

// logGroups looks groups up by id. It keeps those whose labels are announced:
// they do not change any more.
type logGroups struct {
	q     querier
	known map[int64]*knownGroup
	// Scratch of leaf.
	text    []byte
	slots   []Versioned
	decoder blockDecoder
}

func (l *logGroups) get(id int64) (*knownGroup, error) {
	if g := l.known[id]; g != nil && g.Labels != nil {
		return g, nil
	}
	if l.known == nil {
		l.known = map[int64]*knownGroup{}
		return l.known[id], l.read(``)
	}
	if err := l.read(` WHERE id = ?`, id); err != nil {
		return nil, err
	}
	return l.known[id], nil
}

func (l *logGroups) read(where string, args ...any) error {
	rows, err := l.q.query(selectGroups+where, args...)
	if err != nil {
		return err
	}
	return eachGroup(rows, func(g *knownGroup) error {
		l.known[g.id] = g
		return nil
	})
}

// readLoggedHours reads the log without members: all of it, in its order.
func readLoggedHours(q querier) ([]loggedHour, error) {
	rows, err := q.query(`SELECT leaf, hour, logged_at, groups, root FROM log_hours ORDER BY leaf`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []loggedHour
	for rows.Next() {
		var h loggedHour
		var root sql.RawBytes
		if err := rows.Scan(&h.leaf, &h.hour, &h.loggedAt, &h.groups, &root); err != nil {
			return nil, err
		}
		if len(root) != tlog.HashSize {
			return nil, fmt.Errorf("%w: leaf %d of the log has a root of %d bytes", ErrDamaged, h.leaf, len(root))
		}
		copy(h.root[:], root)
		out = append(out, h)
	}
	return out, rows.Err()
}

// logState is where the log stands.
type logState struct {
	// until is the first hour that was not logged; pruned the first that
	// retention left.
	until, pruned int64
	secret        []byte
}

const selectLogState = `SELECT until, pruned, secret FROM log_state`

func scanLogState(q querier, more string) (s logState, err error) {
	rows, err := q.query(selectLogState + more)
	if err != nil {
		return s, err
	}
	defer rows.Close()
	if !rows.Next() {
		return s, cmp.Or(rows.Err(), fmt.Errorf("%w: the state of its log is gone", ErrDamaged))
	}
	return s, rows.Scan(&s.until, &s.pruned, &s.secret)
}
