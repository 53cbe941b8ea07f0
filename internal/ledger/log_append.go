package ledger

import (
	"cmp"
	"context"
	"crypto/rand"

	"golang.org/x/mod/sumdb/tlog"
)

// logAfter is how long after its end an hour is logged, in milliseconds. What
// comes later is logged too, as an addition; it only takes more room.
const logAfter = 15 * 60_000

// secretSize is in bytes.
const secretSize = 32

// Log adds to the log the hours that closed by now (log time, Unix
// milliseconds), and what was restated in logged ones since: a transaction for
// each. It returns by how many leaves the log grew. Whoever else logs meanwhile
// waits, and finds nothing left to do.
func (l *Ledger) Log(ctx context.Context, now int64) (grown int, err error) {
	groups := &logGroups{}
	for _, step := range []func(*writer, *logGroups, int64) (bool, error){(*writer).logNextHour, (*writer).logLate} {
		for more := true; more; {
			if err := ctx.Err(); err != nil {
				return grown, err
			}
			err := l.inTx(ctx, "log hours of", func(w *writer) (err error) {
				// Commits under way know what was logged before: they end first.
				if err := w.lock(l.dialect.lockDays); err != nil {
					return err
				}
				groups.q = w
				more, err = step(w, groups, now)
				return err
			})
			if err != nil {
				return grown, err
			}
			if more {
				grown++
			}
		}
	}
	l.met.logged.Add(grown)
	return grown, nil
}

// logNextHour logs the oldest hour that closed and was not logged.
func (w *writer) logNextHour(groups *logGroups, now int64) (more bool, err error) {
	state, err := scanLogState(w, "")
	if err != nil {
		return false, err
	}
	hours, err := readHours(w)
	if err != nil {
		return false, err
	}
	hour, found, err := hours.next(state.until, now-hourMillis-logAfter+1)
	if err != nil || !found {
		return false, err
	}
	if len(state.secret) == 0 {
		state.secret = make([]byte, secretSize)
		_, _ = rand.Read(state.secret) // never fails
	}
	slots, err := readHourSlots(hours, hour, groups)
	if err != nil {
		return false, err
	}
	members := make([]member, 0, len(slots.now))
	for _, id := range slots.ids() {
		members = append(members, member{group: id})
	}
	if err := w.logHour(slots, members, state.secret, now); err != nil {
		return false, err
	}
	return true, w.exec(`UPDATE log_state SET until = ?, secret = ?`, hour+hourMillis, state.secret)
}

// logLate logs versions that were added to one logged hour.
func (w *writer) logLate(groups *logGroups, now int64) (more bool, err error) {
	state, err := scanLogState(w, "")
	if err != nil {
		return false, err
	}
	if err := w.exec(`DELETE FROM log_pending WHERE hour < ?`, state.pruned); err != nil {
		return false, err
	}
	hour, members, err := w.pending()
	if err != nil || len(members) == 0 {
		return false, err
	}
	hours, err := readHours(w)
	if err != nil {
		return false, err
	}
	slots, err := readHourSlots(hours, hour, groups)
	if err != nil {
		return false, err
	}
	if err := w.logHour(slots, members, state.secret, now); err != nil {
		return false, err
	}
	for i := range members {
		for _, s := range members[i].slots {
			if err := w.exec(`DELETE FROM log_pending WHERE hour = ? AND group_id = ? AND start = ? AND version = ?`,
				hour, members[i].group, s.start, int64(s.version)); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// pending returns what waits in the oldest hour, or as much of it as one leaf
// may hold.
func (w *writer) pending() (hour int64, members []member, err error) {
	rows, err := w.query(`SELECT hour, group_id, start, version FROM log_pending ORDER BY hour, group_id, start, version LIMIT ?`, maxLate)
	if err != nil {
		return 0, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var at, id, start, version int64
		if err := rows.Scan(&at, &id, &start, &version); err != nil {
			return 0, nil, err
		}
		if len(members) > 0 && at != hour {
			break
		}
		hour = at
		if n := len(members); n == 0 || members[n-1].group != id {
			members = append(members, member{group: id})
		}
		m := &members[len(members)-1]
		m.slots = append(m.slots, slotVersion{start, uint32(version)})
	}
	return hour, members, rows.Err()
}

// logHour writes one leaf of the log.
func (w *writer) logHour(slots *hourSlots, members []member, secret []byte, now int64) error {
	h := loggedHour{hour: slots.hour, loggedAt: now, groups: int64(len(members))}
	if err := w.row(`SELECT COALESCE(MAX(leaf) + 1, 0) FROM log_hours`).Scan(&h.leaf); err != nil {
		return err
	}
	for i := range members {
		g, err := slots.groups.get(members[i].group)
		if err != nil {
			return err
		}
		members[i].unnamed = g == nil || g.Labels == nil
	}
	var failed error
	hashes := slots.hashes(members, secret, h.leaf, func(m *member, hash tlog.Hash, _ int, err error) {
		m.setPrint(hash)
		failed = cmp.Or(failed, err)
	})
	if failed != nil {
		return failed
	}
	root, err := rootOf(hashes)
	if err != nil {
		return err
	}
	return w.exec(`INSERT INTO log_hours (leaf, hour, logged_at, groups, root, members) VALUES (?, ?, ?, ?, ?, ?)`,
		h.leaf, h.hour, h.loggedAt, h.groups, root[:], appendMembers(nil, h.hour, members))
}

// awaitLog notes versions that a commit adds to an hour in the log.
func (w *writer) awaitLog(hour int64, added []groupVersion) error {
	ins := w.bulk(`INSERT INTO log_pending (hour, group_id, start, version) VALUES `, ``, 4)
	for _, v := range added {
		if err := ins.add(hour, v.group, v.start, int64(v.version)); err != nil {
			return err
		}
	}
	return ins.flush()
}

// pruneLog says that retention takes the hours before a time. Their roots stay,
// so that the log goes on to be what was signed; what would prove their slots
// goes with them.
func (l *Ledger) pruneLog(ctx context.Context, before int64) error {
	before = hourOf(before + hourMillis - 1)
	return l.inTx(ctx, "prune the log of", func(w *writer) error {
		state, err := scanLogState(w, "")
		if err != nil || before <= state.pruned {
			return err
		}
		if err := w.exec(`UPDATE log_state SET pruned = ?`, before); err != nil {
			return err
		}
		return w.exec(`UPDATE log_hours SET members = ? WHERE hour >= ? AND hour < ?`, []byte{}, state.pruned, before)
	})
}
