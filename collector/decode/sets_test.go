package decode

import "testing"

// A set without a host is another one under each key of records, and under none.
func TestSetsWithoutAHostDifferByKey(t *testing.T) {
	made := 0
	s := Sets[int]{Make: func(*Column) int { made++; return made }}
	f := func(key, line string, want int) {
		t.Helper()
		s.Open(&Record{Format: Influx, Key: []byte(key), Value: []byte(line)})
		p, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		set, err := s.Find(p)
		if err != nil || set.Columns[0].Is != want {
			t.Errorf("%s of %q is column %d, want %d (%v)", line, key, set.Columns[0].Is, want, err)
		}
	}
	for range 2 {
		f("a", "up value=1", 1)
		f("b", "up value=1", 2)
		f("", "up value=1", 3)
		f("a", "up,host=x value=1", 4)
		f("b", "up,host=x value=1", 4)
		f("", "up,host=x value=1", 4)
	}
}
