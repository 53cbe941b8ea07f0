package slo

import "testing"

func TestTheQuorumOfConfirmedDown(t *testing.T) {
	f := func(d Down, heard, failures, k, n int) {
		t.Helper()
		if gotF, gotK, gotN := d.Quorum(heard); gotF != failures || gotK != k || gotN != n {
			t.Errorf("%+v with %d heard: %d failures from %d of %d, want %d from %d of %d", d, heard, gotF, gotK, gotN, failures, k, n)
		}
	}
	majority := Down{Failures: 3}
	f(majority, 1, 3, 1, 1)
	f(majority, 2, 3, 2, 2)
	f(majority, 3, 3, 2, 3)
	f(majority, 4, 2, 3, 4)
	f(majority, 5, 2, 3, 5)
	f(majority, 9, 2, 5, 9)
	f(majority, 0, 3, 1, 0)
	f(Down{Failures: 1}, 5, 1, 3, 5)
	f(Down{Failures: 3, N: 5}, 1, 2, 3, 5) // four of five are silent: the others cannot outvote them
	f(Down{Failures: 3, K: 3, N: 5}, 5, 3, 3, 5)
	f(Down{Failures: 3, K: 1}, 5, 3, 1, 5)
	f(Down{Failures: 2, K: 9, N: 0}, 4, 2, 4, 4)
}
