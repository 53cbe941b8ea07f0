package evaluate

import (
	"fmt"
	"testing"

	"nines/internal/wire"
)

// TestOrphansDoNotWaitForOneAnother: a target is down and is stopped; others
// stop one after the other, each minute. Its alert ends nevertheless.
func TestOrphansDoNotWaitForOneAnother(t *testing.T) {
	f := newFixture(t, 1, down(1, 1).set())
	f.seconds(0, 20, 1)
	f.seconds(20, 25, 0)
	f.wantSaid("down", "ConfirmedDown firing")
	rows := []string{"t,@-9000,t,running,,", "t,@30,,stopped,,"}
	for i := range 15 {
		rows = append(rows, fmt.Sprintf("x%d,@-9000,x%d,running,,", i, i), fmt.Sprintf("x%d,@%d,,stopped,,", i, 60*(i+1)))
	}
	f.s.Expect(view(t, rows...), everything)
	for sec := int64(25); sec < 600; sec++ {
		f.apply(0, epoch+sec*1000+900)
		f.advance()
	}
	f.wantNoData("nobody stands for it any more", "ConfirmedDown resolved")
}

// TestNoAlertWithoutLabels: the labels of a group follow within a minute. What
// cannot be named yet is not paged, and what is named then is paged once.
func TestNoAlertWithoutLabels(t *testing.T) {
	f := newFixture(t, 1, down(1, 1).set())
	for sec := int64(0); sec < 10; sec++ {
		at := epoch + sec*1000 + 300
		f.send(&wire.Partial{Sources: 1, Incarnation: 1, From: f.to[0], To: f.to[0] + 1, LogTime: at + 600, RuleSet: f.set, Counts: []wire.BinCount{f.bin("a", at, 0)}})
		f.to[0]++
	}
	f.wantSaid("nobody knows what it is")
	f.seconds(10, 12, 0)
	f.wantSaid("now they do", "ConfirmedDown firing")
	f.seconds(12, 20, 1)
	f.wantSaid("up again", "ConfirmedDown resolved")
}
