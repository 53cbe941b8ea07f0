package ruler

import (
	"context"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// noExemplars answers exemplar queries with nothing: frames carry none.
type noExemplars struct{}

func (n noExemplars) ExemplarQuerier(context.Context) (storage.ExemplarQuerier, error) { return n, nil }

func (noExemplars) Select(int64, int64, ...[]*labels.Matcher) ([]exemplar.QueryResult, error) {
	return []exemplar.QueryResult{}, nil
}
