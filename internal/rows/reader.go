package rows

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Point is one sample.
type Point struct {
	// Time in Unix milliseconds.
	Time int64
	// Series is its place in Table.Series.
	Series int
	Value  float64
}

// Reasons why rows are refused.
const (
	reasonSyntax   = "syntax"   // not CSV, or no JSON object
	reasonColumns  = "columns"  // more or fewer than the header has
	reasonTime     = "time"     // none, or not of the format
	reasonValue    = "value"    // no number
	reasonOutcome  = "outcome"  // in none of the lists
	reasonSeries   = "series"   // no name of a metric
	reasonDisorder = "disorder" // older than spec.sort allows
)

// Problem is one row that was refused.
type Problem struct {
	File      string
	Line, Col int
	Reason    string
	Detail    string
}

// Error returns the problem as file:line:col: detail.
func (p Problem) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Col, p.Detail)
}

// firstProblems is how many problems are kept.
const firstProblems = 5

// Counts account for every row.
type Counts struct {
	// Rows were read; of them Ignored say nothing, as the mapping wants or
	// because they hold no value.
	Rows, Ignored, Points uint64
	// Refused rows, by reason.
	Refused map[string]uint64
	// First are the first problems.
	First []Problem
}

// RefusedRows returns how many rows were refused.
func (c *Counts) RefusedRows() (n uint64) {
	for _, k := range c.Refused {
		n += k
	}
	return n
}

// reader gives the points of one file in the order of their times.
type reader struct {
	table  *table
	rows   records
	plan   *plan
	counts *Counts
	strict bool

	disorder int64
	newest   int64
	queue    queue
	number   uint64
	ended    bool
	row      []Point
}

func newReader(t *table, m *Mapping, series *Table, counts *Counts, strict bool) (*reader, error) {
	r := &reader{table: t, plan: newPlan(m, series), counts: counts, strict: strict, disorder: m.Spec.disorder}
	var err error
	r.rows, err = newRecords(t, &m.Spec, r.plan.columns)
	return r, err
}

// peek returns the next point; ok is false at the end.
func (r *reader) peek() (p Point, ok bool, err error) {
	for !r.ended && (len(r.queue) == 0 || r.disorder < 0 || r.queue[0].Time > r.newest-r.disorder) {
		if err := r.read(); err != nil {
			return p, false, err
		}
	}
	if len(r.queue) == 0 {
		return p, false, nil
	}
	return r.queue[0].Point, true, nil
}

// drop removes the point that peek returned.
func (r *reader) drop() {
	if r.disorder < 0 { // sorted as a whole
		r.queue = r.queue[1:]
		return
	}
	heap.Pop(&r.queue)
}

// read queues the points of the next row.
func (r *reader) read() error {
	err := r.rows.next()
	if errors.Is(err, io.EOF) {
		r.ended = true
		if r.disorder < 0 {
			slices.SortFunc(r.queue, func(a, b queued) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.number, b.number)) })
		}
		return nil
	}
	var bad *rowError
	if err != nil && !errors.As(err, &bad) {
		return fmt.Errorf("read rows %s: %w", r.table.name, err)
	}
	r.counts.Rows++
	if bad != nil {
		return r.refuse(Problem{Line: bad.line, Col: bad.col, Reason: bad.reason, Detail: bad.err.Error()})
	}
	points, refused := r.plan.points(r.rows, r.row[:0])
	r.row = points
	switch {
	case refused != nil:
		return r.refuse(*refused)
	case len(points) == 0:
		r.counts.Ignored++
		return nil
	}
	if r.disorder >= 0 && points[0].Time < r.newest-r.disorder {
		line, col := r.rows.at(r.plan.time)
		return r.refuse(Problem{Line: line, Col: col, Reason: reasonDisorder,
			Detail: fmt.Sprintf("is %d s older than a row before it; spec.sort is by how much it may be, or all", (r.newest-points[0].Time)/1000)})
	}
	r.newest = max(r.newest, points[0].Time)
	r.counts.Points += uint64(len(points))
	for _, p := range points {
		r.number++
		if q := (queued{p, r.number}); r.disorder < 0 {
			r.queue = append(r.queue, q)
		} else {
			heap.Push(&r.queue, q)
		}
	}
	return nil
}

func (r *reader) refuse(p Problem) error {
	p.File = r.table.name
	if r.strict {
		return p
	}
	c := r.counts
	if c.Refused == nil {
		c.Refused = map[string]uint64{}
	}
	c.Refused[p.Reason]++
	if len(c.First) < firstProblems {
		c.First = append(c.First, p)
	}
	return nil
}

// queued is a point that waits for older ones; those of one time keep the order
// of their rows.
type queued struct {
	Point
	number uint64
}

// queue is a heap of points, the oldest first.
type queue []queued

// Len implements heap.Interface.
func (q queue) Len() int { return len(q) }

// Less implements heap.Interface.
func (q queue) Less(i, j int) bool {
	return q[i].Time < q[j].Time || q[i].Time == q[j].Time && q[i].number < q[j].number
}

// Swap implements heap.Interface.
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(x any) { *q = append(*q, x.(queued)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}
