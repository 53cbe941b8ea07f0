package ledger

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"nines/internal/slo"
)

// ErrRewritten says that closed slots, or the log of them, are not what was
// logged.
var ErrRewritten = errors.New("the ledger was rewritten")

// rewritten reports what is not as it was logged.
func (c *check) rewritten(format string, args ...any) {
	if len(c.found) < maxFindings {
		c.found = append(c.found, fmt.Errorf("%w: "+format, append([]any{ErrRewritten}, args...)...))
	}
}

// log recomputes every leaf of the log from the slots. That the log itself is
// the one that was signed is for Compare to say.
func (c *check) log() error {
	all, err := readLoggedHours(c.v)
	if err != nil {
		return err
	}
	state, err := scanLogState(c.v, "")
	if err != nil {
		return err
	}
	byHour := map[int64][]loggedHour{}
	for i, h := range all {
		if h.leaf != int64(i) {
			c.rewritten("leaf %d of the log is gone", i)
			return nil
		}
		byHour[h.hour] = append(byHour[h.hour], h)
	}
	hours, err := readHours(c.v)
	if err != nil {
		return err
	}
	if err := c.unloggedHours(hours, state, byHour); err != nil {
		return err
	}
	streams, err := c.contracts()
	if err != nil {
		return err
	}
	groups := &logGroups{q: c.v}
	for _, hour := range slices.Sorted(maps.Keys(byHour)) {
		if hour < state.pruned {
			continue
		}
		lc := &logCheck{check: c, state: state, streams: streams}
		if lc.slots, err = readHourSlots(hours, hour, groups); err != nil {
			c.rewritten("hour %s: %v", hourText(hour), err)
			continue
		}
		if err := lc.hour(byHour[hour]); err != nil {
			return err
		}
		c.progress(min(c.done, c.total), c.total)
	}
	return nil
}

// unloggedHours adds hours that have slots, should be in the log and are not.
func (c *check) unloggedHours(hours *hourReader, state logState, byHour map[int64][]loggedHour) error {
	for at := state.pruned; ; {
		hour, found, err := hours.next(at, state.until)
		if errors.Is(err, ErrDamaged) {
			c.fault("%w", err)
			return nil
		}
		if err != nil || !found {
			return err
		}
		if byHour[hour] == nil {
			byHour[hour] = []loggedHour{}
		}
		at = hour + hourMillis
	}
}

// contracts returns the names of the contracts that settle each stream.
func (c *check) contracts() (map[string][]string, error) {
	var body []byte
	err := c.v.row(`SELECT body FROM rule_set_uses JOIN rule_sets ON rule_sets.id = rule_set_uses.rule_set
		ORDER BY since DESC, rule_set_uses.partition LIMIT 1`).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var set slo.RuleSet
	if err := decodeJSON(body, &set); err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(set.Contracts)) {
		rec, err := set.Contract(name)
		if err != nil || rec.Contract == nil {
			continue // not this check's concern
		}
		for _, o := range rec.Contract.Objectives {
			if !slices.Contains(out[o.Stream], name) {
				out[o.Stream] = append(out[o.Stream], name)
			}
		}
	}
	return out, nil
}

// logCheck is the check of one hour's leaves.
type logCheck struct {
	*check
	state   logState
	streams map[string][]string
	slots   *hourSlots
	members map[int64]bool // groups in the hour's first leaf
}

func (c *logCheck) hour(leaves []loggedHour) error {
	members := make([][]member, len(leaves))
	if err := c.readMembers(leaves, members); err != nil {
		return err
	}
	if err := c.readPending(); err != nil {
		return err
	}
	c.members = map[int64]bool{}
	for i := range members {
		for j := range members[i] {
			m := &members[i][j]
			c.members[m.group] = c.members[m.group] || len(m.slots) == 0
			for _, s := range m.slots {
				c.slots.logged[groupVersion{m.group, s}] = true
			}
		}
	}
	for i := range leaves {
		if err := c.leaf(&leaves[i], members[i]); err != nil {
			return err
		}
	}
	return c.strangers()
}

func (c *logCheck) readMembers(leaves []loggedHour, members [][]member) error {
	rows, err := c.v.query(`SELECT members FROM log_hours WHERE hour = ? ORDER BY leaf`, c.slots.hour)
	if err != nil {
		return err
	}
	defer rows.Close()
	for i := 0; rows.Next() && i < len(leaves); i++ {
		var blob sql.RawBytes
		if err := rows.Scan(&blob); err != nil {
			return err
		}
		if members[i], err = decodeMembers(c.slots.hour, blob); err != nil || int64(len(members[i])) != leaves[i].groups {
			c.rewritten("hour %s: the members of leaf %d of the log are not those that were logged", hourText(c.slots.hour), leaves[i].leaf)
			members[i] = nil
		}
	}
	return rows.Err()
}

// readPending takes in the versions that no leaf holds yet.
func (c *logCheck) readPending() error {
	rows, err := c.v.query(`SELECT group_id, start, version FROM log_pending WHERE hour = ?`, c.slots.hour)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, start, version int64
		if err := rows.Scan(&id, &start, &version); err != nil {
			return err
		}
		c.slots.logged[groupVersion{id, slotVersion{start, uint32(version)}}] = true
	}
	return rows.Err()
}

// leaf recomputes one leaf of the log and names the groups that differ.
func (c *logCheck) leaf(h *loggedHour, members []member) error {
	if members == nil {
		return nil // reported
	}
	named := false
	hashes := c.slots.hashes(members, c.state.secret, h.leaf, func(m *member, hash tlog.Hash, n int, err error) {
		c.done++
		var want member
		want.setPrint(hash)
		switch {
		case err != nil:
			c.rewritten("hour %s, %s: %v", hourText(h.hour), c.name(m.group), err)
		case n == 0:
			c.rewritten("hour %s, %s: the slots that were logged are gone", hourText(h.hour), c.name(m.group))
		case want.print != m.print:
			c.rewritten("hour %s, %s: the slots are not those that were logged", hourText(h.hour), c.name(m.group))
		default:
			return
		}
		named = true
	})
	root, err := rootOf(hashes)
	if err == nil && root != h.root && !named {
		c.rewritten("hour %s: one of the %d groups in leaf %d of the log, or the leaf, is not what was logged", hourText(h.hour), h.groups, h.leaf)
	}
	return err
}

// strangers finds slots that no leaf holds and that do not wait for one.
func (c *logCheck) strangers() error {
	for _, id := range c.slots.ids() {
		if c.members[id] {
			continue // the first leaf holds what the others do not
		}
		all, err := c.slots.versions(nil, id)
		if err != nil {
			c.rewritten("hour %s, %s: %v", hourText(c.slots.hour), c.name(id), err)
			continue
		}
		for i := range all {
			if !c.slots.logged[groupVersion{id, slotVersion{all[i].Start, all[i].Version}}] {
				c.rewritten("hour %s, %s: has slots that were never logged", hourText(c.slots.hour), c.name(id))
				break
			}
		}
	}
	return nil
}

// name tells a group for people, with the contracts that settle it.
func (c *logCheck) name(id int64) string {
	g, err := c.slots.groups.get(id)
	if err != nil || g == nil {
		return fmt.Sprintf("group %d, which is gone", id)
	}
	s := fmt.Sprintf("group %s of stream %s", g.Labels, g.Key.Stream)
	if names := c.streams[g.Key.Stream]; len(names) > 0 {
		s += ", contract " + strings.Join(names, ", ")
	}
	return s
}

func hourText(hour int64) string { return time.UnixMilli(hour).UTC().Format(time.RFC3339) }
