package ledger

import "context"

// LogTime returns the greatest log time that was committed, Unix milliseconds;
// 0 before the first commit. Up to there the ledger accounts for everything.
func (l *Ledger) LogTime(ctx context.Context) (int64, error) { return l.logTime(ctx) }
