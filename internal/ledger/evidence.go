package ledger

import (
	"context"
	"database/sql"
	"time"

	"nines/internal/slo"
)

// evidenceMonths is for how long evidence is kept where a contract does not say.
const evidenceMonths = 13

// asContracted returns the retention, with slots and gaps kept at least as long
// as the contracts of every rule set that was in force say: a promise of
// evidence outlives its contract.
func (l *Ledger) asContracted(ctx context.Context, r Retention, now int64) (Retention, error) {
	months := 0
	err := l.view(ctx, "read contracts of", func(tx *sql.Tx) error {
		v := l.viewer(ctx, tx)
		ids, err := v.ruleSetIDs()
		for _, id := range ids {
			n, err := l.monthsOf(v, id)
			if err != nil {
				return err
			}
			months = max(months, n)
		}
		return err
	})
	if err != nil || months == 0 {
		return r, err
	}
	// Months are the calendar's, and begin somewhere on earth a day earlier.
	end := time.UnixMilli(now).UTC()
	least := end.Sub(end.AddDate(0, -months, -1))
	if r.Slots < least {
		l.log.Debug("contracts keep slots for longer than the configured retention", "configured", r.Slots, "months", months)
	}
	r.Slots, r.Gaps = max(r.Slots, least), max(r.Gaps, least)
	return r, nil
}

func (v *viewer) ruleSetIDs() (ids []string, err error) {
	rows, err := v.query(`SELECT id FROM rule_sets`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// monthsOf returns for how many months a rule set's contracts keep evidence; 0
// if it has none. A rule set does not change, so each is read once.
func (l *Ledger) monthsOf(v *viewer, id string) (int, error) {
	l.mu.Lock()
	n, known := l.months[id]
	l.mu.Unlock()
	if known {
		return n, nil
	}
	var body []byte
	if err := v.row(`SELECT body FROM rule_sets WHERE id = ?`, id).Scan(&body); err != nil {
		return 0, err
	}
	var set slo.RuleSet
	if err := decodeJSON(body, &set); err != nil {
		return 0, err
	}
	for name := range set.Contracts {
		m := evidenceMonths
		if rec, err := set.Contract(name); err == nil && rec.Contract != nil && rec.Contract.Delays.EvidenceMonths > 0 {
			m = rec.Contract.Delays.EvidenceMonths
		}
		n = max(n, m)
	}
	l.mu.Lock()
	l.months[id] = n
	l.mu.Unlock()
	return n, nil
}
