package bus

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	kafka "github.com/segmentio/kafka-go"
	"pgregory.net/rapid"
)

func parts(topic string, n int) (out []kafka.Partition) {
	for i := range n {
		out = append(out, kafka.Partition{Topic: topic, ID: i})
	}
	return out
}

func joins(t interface{ Fatal(...any) }, id string, c claim, topics ...string) kafka.GroupMember {
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return kafka.GroupMember{ID: id, Topics: topics, UserData: data}
}

func TestStickyAssignment(t *testing.T) {
	own := func(ps ...int32) map[string][]int32 { return map[string][]int32{"t": ps} }
	f := func(name string, n int, members []kafka.GroupMember, want map[string][]int) {
		t.Helper()
		got := map[string][]int{}
		for id, topics := range (&sticky{}).AssignGroups(members, parts("t", n)) {
			got[id] = topics["t"]
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	f("first member", 3, []kafka.GroupMember{joins(t, "x", claim{Name: "a"}, "t")}, map[string][]int{"x": {0, 1, 2}})
	f("names decide, not ids", 3, []kafka.GroupMember{
		joins(t, "1", claim{Name: "b"}, "t"), joins(t, "2", claim{Name: "a"}, "t"),
	}, map[string][]int{"2": {0, 1}, "1": {2}})
	f("a newcomer gets the least", 4, []kafka.GroupMember{
		joins(t, "1", claim{Name: "b", Generation: 1, Owned: own(0, 1, 2, 3)}, "t"), joins(t, "2", claim{Name: "a"}, "t"),
	}, map[string][]int{"1": {0, 1}, "2": {2, 3}})
	f("the leaver's share is spread", 6, []kafka.GroupMember{
		joins(t, "1", claim{Name: "a", Generation: 3, Owned: own(0, 5)}, "t"), joins(t, "3", claim{Name: "c", Generation: 3, Owned: own(3, 4)}, "t"),
	}, map[string][]int{"1": {0, 1, 5}, "3": {2, 3, 4}})
	f("a stale claim loses", 2, []kafka.GroupMember{
		joins(t, "1", claim{Name: "a", Generation: 3, Owned: own(0, 1)}, "t"), joins(t, "2", claim{Name: "b", Generation: 5, Owned: own(1)}, "t"),
	}, map[string][]int{"1": {0}, "2": {1}})
	f("more members than partitions", 1, []kafka.GroupMember{
		joins(t, "1", claim{Name: "a"}, "t"), joins(t, "2", claim{Name: "b", Generation: 1, Owned: own(0)}, "t"),
	}, map[string][]int{"1": nil, "2": {0}})
	f("a shrunk topic", 1, []kafka.GroupMember{
		joins(t, "1", claim{Name: "a", Generation: 1, Owned: own(0, 7)}, "t"),
	}, map[string][]int{"1": {0}})
	f("foreign user data", 1, []kafka.GroupMember{{ID: "1", Topics: []string{"t"}, UserData: []byte{0xff}}}, map[string][]int{"1": {0}})
	f("not subscribed", 1, []kafka.GroupMember{{ID: "1", Topics: []string{"other"}}}, map[string][]int{"1": nil})
}

// Whatever members come and go, each partition has one owner, shares differ by
// one at most, and no more move than the balance demands.
func TestStickyInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "partitions")
		owned := map[string][]int32{}
		for gen := int32(1); gen < 6; gen++ {
			var members []kafka.GroupMember
			for i := range rapid.IntRange(1, 7).Draw(t, "highest") {
				if i > 0 && rapid.Bool().Draw(t, "absent") {
					continue
				}
				name := fmt.Sprintf("m%d", i)
				members = append(members, joins(t, name, claim{Name: name, Generation: gen, Owned: map[string][]int32{"t": owned[name]}}, "t"))
			}
			got := (&sticky{}).AssignGroups(members, parts("t", n))
			seen, sizes, kept, possible := map[int]bool{}, []int{}, 0, 0
			now := map[string][]int32{}
			for _, m := range members {
				ids := got[m.ID]["t"]
				sizes = append(sizes, len(ids))
				for _, id := range ids {
					if seen[id] {
						t.Fatalf("partition %d has two owners", id)
					}
					seen[id] = true
					now[m.ID] = append(now[m.ID], int32(id))
					if slices.Contains(owned[m.ID], int32(id)) {
						kept++
					}
				}
			}
			slices.Sort(sizes)
			if len(seen) != n || sizes[len(sizes)-1]-sizes[0] > 1 {
				t.Fatalf("%d of %d partitions, shares %v", len(seen), n, sizes)
			}
			// Keep as much as even shares allow: the biggest owners take the
			// bigger shares.
			had := []int{}
			for _, m := range members {
				had = append(had, len(owned[m.ID]))
			}
			slices.Sort(had)
			for i := range had {
				possible += min(had[i], sizes[i])
			}
			if kept != possible {
				t.Fatalf("%d partitions stayed, %d could", kept, possible)
			}
			owned = maps.Clone(now)
		}
	})
}
