package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"nines/internal/access"
	"nines/internal/alert"
	"nines/internal/slo"
	"nines/internal/wire"
)

// Statuses returns where every group of every objective stands, as far as the
// principal sees the groups, by objective and group.
func (l *Ledger) Statuses(ctx context.Context, p access.Principal) ([]Status, error) {
	return l.statuses(ctx, p, "1 = 1")
}

// StatusesOf returns the statuses of one objective.
func (l *Ledger) StatusesOf(ctx context.Context, p access.Principal, objective string) ([]Status, error) {
	return l.statuses(ctx, p, "objective = ?", objective)
}

func (l *Ledger) statuses(ctx context.Context, p access.Principal, cond string, args ...any) ([]Status, error) {
	sees, more := visible(p, "customer")
	var out []Status
	err := l.view(ctx, "read statuses of", func(tx *sql.Tx) error {
		rows, err := l.viewer(ctx, tx).query(`SELECT objective, stream, labels_hash, log_time, status
			FROM statuses JOIN groups ON groups.id = statuses.group_id
			WHERE `+cond+` AND `+sees+` ORDER BY objective, groups.id`, append(args, more...)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s Status
			var hash int64
			var blob sql.RawBytes
			if err := rows.Scan(&s.Objective, &s.Group.Stream, &hash, &s.LogTime, &blob); err != nil {
				return err
			}
			s.Group.Labels = uint64(hash)
			if err := decodeStatus(&s, blob); err != nil {
				return fmt.Errorf("%w: status of %s: %w", ErrDamaged, s.Objective, err)
			}
			out = append(out, s)
		}
		return rows.Err()
	})
	return out, err
}

// Alerts returns the alerts that fire or that ended at since (Unix
// milliseconds) or later, by start. A principal sees those whose label
// "customer" names one of its customers; the operator sees all.
func (l *Ledger) Alerts(ctx context.Context, p access.Principal, since int64) ([]alert.Alert, error) {
	sees, args := visible(p, "customer")
	var out []alert.Alert
	err := l.view(ctx, "read alerts of", func(tx *sql.Tx) error {
		rows, err := l.viewer(ctx, tx).query(selectAlerts+` WHERE (firing = 1 OR (firing = 0 AND ends_at >= ?)) AND `+sees+`
			ORDER BY starts_at, alert_key`, append([]any{since}, args...)...)
		if err != nil {
			return err
		}
		out, err = scanAlerts(rows)
		return err
	})
	return out, err
}

// Agents returns every boot of every agent that was heard, the newest boot of
// an agent last. Hosts belong to the operator: others see none.
func (l *Ledger) Agents(ctx context.Context, p access.Principal) ([]Agent, error) {
	if !p.Operator {
		return nil, nil
	}
	var out []Agent
	err := l.view(ctx, "read agents of", func(tx *sql.Tx) error {
		rows, err := l.viewer(ctx, tx).query(`SELECT agent, boot, host, frames, samples, repeats, gap_frames, last_seq,
			newest, skew, first_seen, last_seen FROM agents ORDER BY agent, first_seen, last_seen`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			a, err := scanAgent(rows)
			if err != nil {
				return err
			}
			out = append(out, a)
		}
		return rows.Err()
	})
	return out, err
}

func scanAgent(rows *sql.Rows) (Agent, error) {
	var a Agent
	var boot, frames, samples, repeats, gaps, seq int64
	var host string
	err := rows.Scan(&a.Agent, &boot, &host, &frames, &samples, &repeats, &gaps, &seq,
		&a.Newest, &a.Skew, &a.FirstSeen, &a.LastSeen)
	if err != nil {
		return a, err
	}
	a.Boot, a.LastSeq = uint64(boot), uint64(seq)
	a.Frames, a.Samples, a.Repeats, a.GapFrames = uint64(frames), uint64(samples), uint64(repeats), uint64(gaps)
	if a.Host, err = decodeLabels(host); err != nil {
		return a, fmt.Errorf("labels of agent %s: %w", a.Agent, err)
	}
	return a, nil
}

// GapRow is a gap and when it was recorded.
type GapRow struct {
	wire.Gap
	// LogTime of the commit that recorded it, Unix milliseconds.
	LogTime int64
}

// Gaps returns the losses that overlap [from, to) (Unix milliseconds), in the
// order in which they were recorded. One whose times are not known counts at
// the log time of its record. Gaps belong to the operator: others see none.
func (l *Ledger) Gaps(ctx context.Context, p access.Principal, from, to int64) ([]GapRow, error) {
	if !p.Operator {
		return nil, nil
	}
	var out []GapRow
	err := l.view(ctx, "read gaps of", func(tx *sql.Tx) error {
		rows, err := l.viewer(ctx, tx).query(`SELECT log_time, agent, boot, first_seq, last_seq, from_time, to_time, reason FROM gaps
			WHERE CASE WHEN from_time = 0 THEN log_time ELSE from_time END < ?
				AND CASE WHEN to_time = 0 THEN log_time ELSE to_time END >= ? ORDER BY id`, to, from)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var g GapRow
			var boot, first, last int64
			if err := rows.Scan(&g.LogTime, &g.Agent, &boot, &first, &last, &g.From, &g.To, &g.Reason); err != nil {
				return err
			}
			g.Boot, g.FirstSeq, g.LastSeq = uint64(boot), uint64(first), uint64(last)
			out = append(out, g)
		}
		return rows.Err()
	})
	return out, err
}

// UnplacedRow is an increment that belongs to no slot, and when it was
// recorded.
type UnplacedRow struct {
	wire.Unplaced
	// LogTime of the commit that recorded it, Unix milliseconds.
	LogTime int64
}

// Unplaced returns the increments that belong to no slot and overlap [from, to)
// (Unix milliseconds), of the groups that the principal sees, in the order in
// which they were recorded.
func (l *Ledger) Unplaced(ctx context.Context, p access.Principal, from, to int64) ([]UnplacedRow, error) {
	sees, args := visible(p, "COALESCE(customer, '')")
	var out []UnplacedRow
	err := l.view(ctx, "read unplaced increments of", func(tx *sql.Tx) error {
		rows, err := l.viewer(ctx, tx).query(`SELECT unplaced.log_time, unplaced.stream, unplaced.labels_hash, from_time, to_time, good, total
			FROM unplaced LEFT JOIN groups ON groups.stream = unplaced.stream AND groups.labels_hash = unplaced.labels_hash
			WHERE from_time < ? AND to_time >= ? AND `+sees+` ORDER BY unplaced.id`, append([]any{to, from}, args...)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var u UnplacedRow
			var hash, good, total int64
			if err := rows.Scan(&u.LogTime, &u.Group.Stream, &hash, &u.From, &u.To, &good, &total); err != nil {
				return err
			}
			u.Group.Labels, u.Good, u.Total = uint64(hash), uint64(good), uint64(total)
			out = append(out, u)
		}
		return rows.Err()
	})
	return out, err
}

// RuleSet returns a rule set that was in force, and the log time since when, in
// Unix milliseconds. It holds every customer's contract: show parts of it only.
func (l *Ledger) RuleSet(ctx context.Context, id string) (*slo.RuleSet, int64, error) {
	return l.ruleSet(ctx, `SELECT body, (SELECT MIN(since) FROM rule_set_uses WHERE rule_set = id) FROM rule_sets WHERE id = ?`, id)
}

// CurrentRuleSet returns the rule set in force; ErrNotFound before the first.
func (l *Ledger) CurrentRuleSet(ctx context.Context) (*slo.RuleSet, int64, error) {
	return l.ruleSet(ctx, `SELECT body, since FROM rule_set_uses JOIN rule_sets ON rule_sets.id = rule_set_uses.rule_set
		ORDER BY since DESC, rule_set_uses.partition LIMIT 1`)
}

func (l *Ledger) ruleSet(ctx context.Context, query string, args ...any) (*slo.RuleSet, int64, error) {
	rs := &slo.RuleSet{}
	var since int64
	err := l.view(ctx, "read a rule set of", func(tx *sql.Tx) error {
		var body []byte
		if err := l.viewer(ctx, tx).row(query, args...).Scan(&body, &since); err != nil {
			return missing(err)
		}
		return decodeJSON(body, rs)
	})
	if err != nil {
		return nil, 0, err
	}
	return rs, since, nil
}
