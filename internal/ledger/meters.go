package ledger

import "github.com/VictoriaMetrics/metrics"

// meters are the ledger's own metrics.
type meters struct {
	commits, commitErrors, fenced *metrics.Counter
	slots, restated, sketches     *metrics.Counter
	retries                       *metrics.Counter
	commitSeconds                 *metrics.PrometheusHistogram
	unknown                       *metrics.Counter
	pruned, pruneErrors, logged   *metrics.Counter
}

func newMeters(s *metrics.Set) *meters {
	return &meters{
		commits:       s.NewCounter("nines_ledger_commits_total"),
		commitErrors:  s.NewCounter("nines_ledger_commit_errors_total"),
		fenced:        s.NewCounter("nines_ledger_commits_fenced_total"),
		slots:         s.NewCounter("nines_ledger_slots_written_total"),
		restated:      s.NewCounter("nines_ledger_slots_restated_total"),
		sketches:      s.NewCounter("nines_ledger_sketches_merged_total"),
		unknown:       s.NewCounter("nines_ledger_unknown_groups_total"),
		retries:       s.NewCounter("nines_ledger_transaction_retries_total"),
		commitSeconds: s.NewPrometheusHistogram("nines_ledger_commit_seconds"),
		pruned:        s.NewCounter("nines_ledger_rows_pruned_total"),
		logged:        s.NewCounter("nines_ledger_log_leaves_total"),
		pruneErrors:   s.NewCounter("nines_ledger_prune_errors_total"),
	}
}
