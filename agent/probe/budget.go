package probe

import "sync"

// budget counts the tokens that a job has used, by hours and days of UTC. It
// lives in memory: a restarted agent begins anew.
type budget struct {
	mu        sync.Mutex
	hour, day spent
}

// spent is what was used in one window.
type spent struct {
	window int64 // number since 1970
	tokens int64
}

const (
	hourMS = 3_600_000
	dayMS  = 24 * hourMS
)

// roll begins a new window where at (Unix ms) lies in a later one.
func (s *spent) roll(at, length int64) {
	if n := at / length; n > s.window {
		*s = spent{window: n}
	}
}

// give takes back n tokens of the window that at lies in.
func (s *spent) give(at, length, n int64) {
	if at/length == s.window {
		s.tokens -= n
	}
}

// take sets n tokens aside at the time at (Unix ms), and tells whether the
// bounds leave so many. A bound of 0 is none.
func (b *budget) take(bounds TokenBudget, at, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hour.roll(at, hourMS)
	b.day.roll(at, dayMS)
	if over(bounds.TokensPerHour, b.hour.tokens+n) || over(bounds.TokensPerDay, b.day.tokens+n) {
		return false
	}
	b.hour.tokens += n
	b.day.tokens += n
	return true
}

func over(bound, n int64) bool { return bound > 0 && n > bound }

// give returns n tokens that were set aside at at and not used; a negative n
// adds what was used beyond.
func (b *budget) give(at, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hour.give(at, hourMS, n)
	b.day.give(at, dayMS, n)
}

// left returns what may still be used, by the tighter of the bounds, and tells
// whether there is a bound.
func (b *budget) left(bounds TokenBudget) (int64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	left, bounded := int64(0), false
	for _, w := range []struct{ bound, used int64 }{{bounds.TokensPerHour, b.hour.tokens}, {bounds.TokensPerDay, b.day.tokens}} {
		if w.bound == 0 {
			continue
		}
		if n := max(0, w.bound-w.used); !bounded || n < left {
			left, bounded = n, true
		}
	}
	return left, bounded
}

// budgets keeps the budgets of jobs over reloads, by the job's name.
type budgets struct {
	mu   sync.Mutex
	jobs map[string]*budget
}

// of returns the budget of the job. A nil budgets makes one that nobody else
// has, for checking.
func (b *budgets) of(job string) *budget {
	if b == nil {
		return &budget{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.jobs == nil {
		b.jobs = map[string]*budget{}
	}
	if b.jobs[job] == nil {
		b.jobs[job] = &budget{}
	}
	return b.jobs[job]
}
