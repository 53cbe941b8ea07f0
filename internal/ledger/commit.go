package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nines/internal/alert"
	"nines/internal/wire"
)

// Commit writes the batch in one transaction, if the claim is still the newest
// of its partition and the ledger still at its offset; else it fails with
// ErrFenced or ErrConflict. After an error nothing is written and the claim is
// as it was: ErrFull and a failing disk may be tried again with the same batch.
// An error at the very end of the transaction can hide a success; the next
// attempt then fails with ErrConflict, and the answer is to claim and load
// again, which counts nothing twice. On success the claim moves to the batch's
// offset.
//
// Good and Total of a slot are absolute. A final slot that changes needs a
// higher version than the stored one, which is kept (else ErrReused); with the
// same version, state and counts it is written again, so that evidence can be
// added or dropped. Sketches add to what is there. A batch must announce a
// group in Groups before, or together with, its first slot; a sketch or status of
// a group that was never announced is left out and counted in
// nines_ledger_unknown_groups_total.
func (l *Ledger) Commit(ctx context.Context, c *Claim, b *Batch) error {
	began := time.Now()
	var known *knownGroups
	var note commitNote
	err := ctx.Err()
	if err == nil {
		err = l.inTx(context.WithoutCancel(ctx), "commit to", func(w *writer) (err error) {
			known, note, err = w.commit(c, b)
			return err
		})
	}
	if err != nil {
		l.met.commitErrors.Inc()
		if errors.Is(err, ErrFenced) || errors.Is(err, ErrConflict) {
			l.met.fenced.Inc()
		}
		return err
	}
	l.mu.Lock()
	l.known[c.Partition] = known
	l.mu.Unlock()
	c.adopt(b)
	l.feed.add(note)
	l.met.commits.Inc()
	l.met.slots.Add(len(b.Slots))
	l.met.restated.Add(note.restated)
	l.met.sketches.Add(len(b.Sketches) - note.sketches)
	l.met.unknown.Add(note.sketches + note.statuses)
	l.met.commitSeconds.Update(time.Since(began).Seconds())
	return nil
}

// commit writes the parts of the batch, fence first, groups before what refers
// to them.
func (w *writer) commit(c *Claim, b *Batch) (*knownGroups, commitNote, error) {
	var note commitNote
	if err := w.advance(c, b); err != nil {
		return nil, note, err
	}
	known, err := w.knownFor(c)
	if err != nil {
		return nil, note, err
	}
	for _, step := range []func() error{
		func() error { return w.putGroups(known, b.Groups) },
		func() (err error) { note.restated, err = w.putSlots(known, b); return err },
		func() (err error) { note.sketches, err = w.putSketches(known, b.Sketches); return err },
		func() (err error) { note.statuses, err = w.putStatuses(known, b.Statuses); return err },
		func() error { return w.putRuleSet(c, b) },
		func() error { return w.putAlerts(c, b.Alerts) },
		func() error { return w.putGaps(c, b) },
		func() error { return w.putUnplaced(b) },
		func() error { return w.putAgents(b) },
	} {
		if err := step(); err != nil {
			return nil, note, err
		}
	}
	note.describe(known, b)
	note.number, err = w.number(c)
	return known, note, err
}

// number gives the commit its number. Numbers of all partitions rise in the
// order in which commits become visible: whoever has read up to one has missed
// none before it. It is the last step, since commits wait for one another here.
func (w *writer) number(c *Claim) (n int64, err error) {
	if err := w.lock(w.l.dialect.lockOrder); err != nil {
		return 0, err
	}
	if err := w.row(w.l.dialect.nextCommit).Scan(&n); err != nil {
		return 0, err
	}
	return n, w.exec(`UPDATE claims SET commits = ? WHERE partition = ?`, n, c.Partition)
}

// putStatuses replaces statuses. It returns how many it left out because their
// group is not known: a group without a slot stands nowhere yet.
func (w *writer) putStatuses(known *knownGroups, statuses []Status) (unknown int, err error) {
	ins := w.bulk(`INSERT INTO statuses (group_id, objective, log_time, status) VALUES `,
		` ON CONFLICT (group_id, objective) DO UPDATE SET log_time = excluded.log_time, status = excluded.status`, 4)
	last := make(map[statusKey]int, len(statuses)) // one statement must not name a row twice
	for i := range statuses {
		last[statusKey{statuses[i].Objective, statuses[i].Group}] = i
	}
	for i := range statuses {
		s := &statuses[i]
		if last[statusKey{s.Objective, s.Group}] != i {
			continue
		}
		g := known.groups[s.Group]
		if g == nil {
			unknown++
			continue
		}
		if err := ins.add(g.id, s.Objective, s.LogTime, appendStatus(nil, s)); err != nil {
			return unknown, err
		}
	}
	return unknown, ins.flush()
}

type statusKey struct {
	objective string
	group     wire.GroupKey
}

func (w *writer) putRuleSet(c *Claim, b *Batch) error {
	if b.RuleSet == nil {
		return nil
	}
	body, err := json.Marshal(b.RuleSet)
	if err != nil {
		return fmt.Errorf("encode rule set %s: %w", b.RuleSetID, err)
	}
	err = w.exec(`INSERT INTO rule_sets (id, body) VALUES (?, ?) ON CONFLICT (id) DO NOTHING`, b.RuleSetID, body)
	if err != nil {
		return err
	}
	var last string
	err = w.row(`SELECT rule_set FROM rule_set_uses WHERE partition = ? ORDER BY since DESC LIMIT 1`, c.Partition).Scan(&last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if last == b.RuleSetID {
		return nil
	}
	return w.exec(`INSERT INTO rule_set_uses (partition, since, rule_set) VALUES (?, ?, ?)
		ON CONFLICT (partition, since) DO UPDATE SET rule_set = excluded.rule_set`, c.Partition, b.LogTime, b.RuleSetID)
}

// putAlerts keeps one row per incident: an alert's key and when it began.
// Heartbeats are no incidents.
func (w *writer) putAlerts(c *Claim, alerts []alert.Alert) error {
	for i := range alerts {
		a := &alerts[i]
		if a.Status == alert.Heartbeat {
			continue
		}
		if err := w.putAlert(c, a); err != nil {
			return fmt.Errorf("alert %s: %w", a.Labels["alertname"], err)
		}
	}
	return nil
}

func (w *writer) putAlert(c *Claim, a *alert.Alert) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	firing := 0
	if a.Status == alert.Firing {
		firing = 1
	}
	key := a.Key()
	// Whatever else fired under the key is over: an alert is one thing at a time.
	ended := a.EndsAt
	if ended == 0 {
		ended = a.LogTime
	}
	if err := w.exec(`UPDATE alerts SET firing = 0, ends_at = ? WHERE alert_key = ? AND firing = 1 AND starts_at <> ?`,
		ended, key, a.StartsAt); err != nil {
		return err
	}
	return w.exec(`INSERT INTO alerts (alert_key, starts_at, ends_at, partition, firing, customer, body)
		VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (alert_key, starts_at) DO UPDATE SET ends_at = excluded.ends_at, partition = excluded.partition,
			firing = excluded.firing, customer = excluded.customer, body = excluded.body`,
		key, a.StartsAt, a.EndsAt, c.Partition, firing, a.Labels[customerLabel], body)
}

// customerLabel names the customer that an alert is about; without it the
// alert is the operator's alone.
const customerLabel = "customer"

func (w *writer) putGaps(c *Claim, b *Batch) error {
	for i := range b.Gaps {
		g := &b.Gaps[i]
		err := w.exec(`INSERT INTO gaps (log_time, partition, agent, boot, first_seq, last_seq, from_time, to_time, reason)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, b.LogTime, c.Partition,
			g.Agent, int64(g.Boot), int64(g.FirstSeq), int64(g.LastSeq), g.From, g.To, g.Reason)
		if err != nil {
			return err
		}
		if g.Agent == "" || g.LastSeq < g.FirstSeq || g.LastSeq == 0 {
			continue
		}
		err = w.exec(`INSERT INTO agents (agent, boot, host, frames, samples, repeats, gap_frames, last_seq, newest, skew, first_seen, last_seen)
			VALUES (?, ?, '{}', 0, 0, 0, ?, 0, 0, 0, ?, ?)
			ON CONFLICT (agent, boot) DO UPDATE SET gap_frames = agents.gap_frames + excluded.gap_frames`,
			g.Agent, int64(g.Boot), int64(g.LastSeq-g.FirstSeq+1), b.LogTime, b.LogTime)
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) putUnplaced(b *Batch) error {
	ins := w.bulk(`INSERT INTO unplaced (log_time, stream, labels_hash, from_time, to_time, good, total) VALUES `, ``, 7)
	for i := range b.Unplaced {
		u := &b.Unplaced[i]
		err := ins.add(b.LogTime, u.Group.Stream, int64(u.Group.Labels), u.From, u.To, int64(u.Good), int64(u.Total))
		if err != nil {
			return err
		}
	}
	return ins.flush()
}

// putAgents adds to the agents' counts. The newest list of an agent carries its
// labels and skew.
func (w *writer) putAgents(b *Batch) error {
	ins := w.bulk(`INSERT INTO agents (agent, boot, host, frames, samples, repeats, gap_frames, last_seq, newest, skew, first_seen, last_seen) VALUES `,
		` ON CONFLICT (agent, boot) DO UPDATE SET host = excluded.host,
				frames = agents.frames + excluded.frames, samples = agents.samples + excluded.samples,
				repeats = agents.repeats + excluded.repeats,
				last_seq = CASE WHEN excluded.last_seq > agents.last_seq THEN excluded.last_seq ELSE agents.last_seq END,
				newest = CASE WHEN excluded.newest > agents.newest THEN excluded.newest ELSE agents.newest END,
				skew = excluded.skew, last_seen = excluded.last_seen`, 12)
	for _, a := range w.mergeAgents(b.Agents) {
		host, err := encodeLabels(a.Host)
		if err != nil {
			return fmt.Errorf("agent %s: %w", a.Agent, err)
		}
		err = ins.add(a.Agent, int64(a.Boot), host, int64(a.Frames), int64(a.Samples), int64(a.Repeats), 0,
			int64(a.LastSeq), a.Newest, a.Skew, b.LogTime, b.LogTime)
		if err != nil {
			return fmt.Errorf("agents up to %s: %w", a.Agent, err)
		}
	}
	return ins.flush()
}

// mergeAgents returns what the lists of agents together say of each, in the order
// of their names: a batch has several where evaluation catches up, and one
// statement must not name a row twice.
func (w *writer) mergeAgents(lists []wire.AgentSeen) []wire.AgentSeen {
	type key struct {
		agent string
		boot  uint64
	}
	at := make(map[key]int, len(lists))
	out := make([]wire.AgentSeen, 0, len(lists))
	for _, a := range lists {
		a.Agent = w.l.dialect.stored(a.Agent)
		k := key{a.Agent, a.Boot}
		i, again := at[k]
		if !again {
			at[k] = len(out)
			out = append(out, a)
			continue
		}
		have := &out[i]
		a.Frames, a.Samples, a.Repeats = a.Frames+have.Frames, a.Samples+have.Samples, a.Repeats+have.Repeats
		a.LastSeq, a.Newest = max(a.LastSeq, have.LastSeq), max(a.Newest, have.Newest)
		*have = a
	}
	slices.SortFunc(out, func(a, b wire.AgentSeen) int {
		return cmp.Or(strings.Compare(a.Agent, b.Agent), cmp.Compare(a.Boot, b.Boot))
	})
	return out
}
