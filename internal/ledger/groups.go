package ledger

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"nines/internal/telemetry"
	"nines/internal/wire"
)

// groupsPerPartition spaces the ids of partitions' groups apart, so that the
// rows which one evaluator loads lie side by side within each hour.
const groupsPerPartition = 1 << 24

// knownGroups are the groups of one partition as its claim has seen them. It
// belongs to the writer: only the goroutine in a write transaction touches it.
type knownGroups struct {
	partition int32
	epoch     uint64
	next      int64 // id of the next new group
	groups    map[wire.GroupKey]*knownGroup
}

type knownGroup struct {
	id int64
	Group
}

func (k *knownGroups) id(key wire.GroupKey) (int64, error) {
	if g := k.groups[key]; g != nil {
		return g.id, nil
	}
	return 0, fmt.Errorf("group %s/%016x is not known: announce it in the batch's groups", key.Stream, key.Labels)
}

// knownFor returns the claim's groups, from memory if an earlier transaction of
// this very claim left them there. They leave the memory meanwhile: a failed
// transaction must not leave behind what it did not write.
func (w *writer) knownFor(c *Claim) (*knownGroups, error) {
	w.l.mu.Lock()
	k := w.l.known[c.Partition]
	delete(w.l.known, c.Partition)
	w.l.mu.Unlock()
	if k != nil && k.epoch == c.Epoch {
		return k, nil
	}
	return w.loadKnown(c)
}

func (w *writer) loadKnown(c *Claim) (*knownGroups, error) {
	k := &knownGroups{partition: c.Partition, epoch: c.Epoch, groups: map[wire.GroupKey]*knownGroup{}}
	first := int64(c.Partition) * groupsPerPartition
	err := w.row(`SELECT COALESCE(MAX(id), ?) FROM groups WHERE id >= ? AND id < ?`,
		first, first, first+groupsPerPartition).Scan(&k.next)
	if err != nil {
		return nil, err
	}
	k.next++
	rows, err := w.query(selectGroups+` WHERE partition = ?`, c.Partition)
	if err != nil {
		return nil, err
	}
	return k, eachGroup(rows, func(g *knownGroup) error {
		k.groups[g.Key] = g
		return nil
	})
}

// putGroups writes groups that are new or changed. What is not known here is new
// where no other partition has groups, as nearly always, and is not looked for.
func (w *writer) putGroups(known *knownGroups, groups []Group) error {
	alone := false
	if slices.ContainsFunc(groups, func(g Group) bool { return known.groups[g.Key] == nil }) {
		var others bool
		if err := w.row(`SELECT EXISTS (SELECT 1 FROM groups WHERE partition <> ?)`, known.partition).Scan(&others); err != nil {
			return err
		}
		alone = !others
	}
	ins := w.bulk(insertGroup, ``, 8)
	for i := range groups {
		g := &groups[i]
		have := known.groups[g.Key]
		if have != nil && have.same(g) {
			continue
		}
		id, err := w.putGroup(known, g, ins, alone && have == nil)
		if err != nil {
			return fmt.Errorf("group %s: %w", g.Labels, err)
		}
		known.groups[g.Key] = &knownGroup{id: id, Group: *g}
	}
	return ins.flush()
}

func (k *knownGroup) same(g *Group) bool {
	return slices.Equal(k.Labels, g.Labels) && k.Partition == g.Partition && k.Customer == g.Customer && k.FirstSlot == g.FirstSlot && k.Retired == g.Retired
}

// putGroup writes a group. One that is new for certain is written with others.
func (w *writer) putGroup(known *knownGroups, g *Group, ins *bulk, isNew bool) (id int64, err error) {
	labels, err := encodeLabels(g.Labels)
	if err != nil {
		return 0, err
	}
	if !isNew {
		if err := ins.flush(); err != nil {
			return 0, err
		}
		err = w.row(`SELECT id FROM groups WHERE stream = ? AND labels_hash = ?`, g.Key.Stream, int64(g.Key.Labels)).Scan(&id)
		if err == nil { // known, perhaps of another partition
			return id, w.exec(`UPDATE groups SET labels = ?, partition = ?, customer = ?, first_slot = ?, retired = ? WHERE id = ?`,
				labels, g.Partition, g.Customer, g.FirstSlot, g.Retired, id)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return 0, err
		}
	}
	id = known.next
	known.next++
	return id, ins.add(id, g.Key.Stream, int64(g.Key.Labels), labels, g.Partition, g.Customer, g.FirstSlot, g.Retired)
}

const insertGroup = `INSERT INTO groups (id, stream, labels_hash, labels, partition, customer, first_slot, retired) VALUES `

const selectGroups = `SELECT id, stream, labels_hash, labels, partition, customer, first_slot, retired FROM groups`

// eachGroup reads the rows of selectGroups and closes them.
func eachGroup(rows *sql.Rows, f func(*knownGroup) error) error {
	defer rows.Close()
	for rows.Next() {
		g := &knownGroup{}
		var hash int64
		var labels string
		err := rows.Scan(&g.id, &g.Key.Stream, &hash, &labels, &g.Partition, &g.Customer, &g.FirstSlot, &g.Retired)
		if err != nil {
			return err
		}
		g.Key.Labels = uint64(hash)
		if g.Labels, err = decodeLabels(labels); err != nil {
			return fmt.Errorf("labels of group %d: %w", g.id, err)
		}
		if err := f(g); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Labels are stored as a JSON object, to be read by people and by SQL.
func encodeLabels(ls telemetry.Labels) (string, error) {
	b, err := json.Marshal(ls.Map())
	return string(b), err
}

func decodeLabels(s string) (telemetry.Labels, error) {
	if ls, ok := plainLabels(s); ok {
		return ls, nil
	}
	var m map[string]string
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if len(m) == 0 {
		return nil, nil // none, or not announced yet
	}
	return telemetry.NewLabels(m), nil
}

// plainLabels reads labels as encodeLabels writes those that need no escapes, a
// twentieth of the time: lists of groups are read each second. ok is false for all
// other text, right or wrong.
func plainLabels(s string) (ls telemetry.Labels, ok bool) {
	if strings.ContainsFunc(s, func(r rune) bool { return r == '\\' || r < ' ' || r == utf8.RuneError }) {
		return nil, false
	}
	for sep := `{"`; s != "}" || len(ls) == 0; sep = `,"` {
		var l telemetry.Label
		if s, ok = strings.CutPrefix(s, sep); !ok {
			return nil, false
		}
		if l.Name, s, ok = strings.Cut(s, `":"`); !ok {
			return nil, false
		}
		if l.Value, s, ok = strings.Cut(s, `"`); !ok || l.Value == "" || strings.Contains(l.Name, `"`) {
			return nil, false
		}
		if n := len(ls); n > 0 && ls[n-1].Name >= l.Name {
			return nil, false
		}
		ls = append(ls, l)
	}
	return ls, true
}
