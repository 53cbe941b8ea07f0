package bus

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	kafka "github.com/segmentio/kafka-go"
)

// stickyProtocol is what members must have in common to form a group.
const stickyProtocol = "nines-sticky"

// claim is what a member says about itself when it joins: a name that outlives
// restarts, and which partitions it owned in which generation.
type claim struct {
	Name       string             `json:"name"`
	Generation int32              `json:"gen,omitempty"`
	Owned      map[string][]int32 `json:"own,omitempty"`
}

// sticky assigns partitions so that each topic is spread evenly and as few as
// possible move. The leader of the group runs it with what all members claim;
// it keeps no state of its own beyond this member's claim.
type sticky struct {
	mu    sync.Mutex
	claim claim
}

// own records what this member was assigned, for the next join.
func (s *sticky) own(generation int32, assigned map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claim.Generation = generation
	s.claim.Owned = maps.Clone(assigned)
}

// ProtocolName implements kafka.GroupBalancer.
func (*sticky) ProtocolName() string { return stickyProtocol }

// UserData implements kafka.GroupBalancer.
func (s *sticky) UserData() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return json.Marshal(s.claim)
}

// AssignGroups implements kafka.GroupBalancer.
func (*sticky) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	ms := make([]*stickyMember, 0, len(members))
	out := kafka.GroupMemberAssignments{}
	for _, m := range members {
		sm := &stickyMember{id: m.ID, topics: m.Topics}
		// A member whose data cannot be read joins with nothing.
		if json.Unmarshal(m.UserData, &sm.claim) != nil {
			sm.claim = claim{}
		}
		ms = append(ms, sm)
		out[m.ID] = map[string][]int{}
	}
	// The name decides before the id, which changes with every restart.
	slices.SortFunc(ms, func(a, b *stickyMember) int {
		return cmp.Or(cmp.Compare(a.claim.Name, b.claim.Name), cmp.Compare(a.id, b.id))
	})
	topics := map[string][]int{}
	for _, p := range partitions {
		topics[p.Topic] = append(topics[p.Topic], p.ID)
	}
	for _, topic := range slices.Sorted(maps.Keys(topics)) {
		ids := topics[topic]
		slices.Sort(ids)
		assignTopic(ms, topic, slices.Compact(ids))
	}
	for _, m := range ms {
		for topic, ids := range m.assigned {
			slices.Sort(ids)
			out[m.id][topic] = ids
		}
	}
	return out
}

type stickyMember struct {
	id       string
	topics   []string
	claim    claim
	assigned map[string][]int
	total    int
}

func (m *stickyMember) give(topic string, id int) {
	if m.assigned == nil {
		m.assigned = map[string][]int{}
	}
	m.assigned[topic] = append(m.assigned[topic], id)
	m.total++
}

// assignTopic spreads one topic: every member gets the same number or one more,
// and keeps what it had up to that.
func assignTopic(all []*stickyMember, topic string, ids []int) {
	var ms []*stickyMember
	for _, m := range all {
		if slices.Contains(m.topics, topic) {
			ms = append(ms, m)
		}
	}
	if len(ms) == 0 {
		return
	}
	owned := previous(ms, topic, ids)
	// Who owned most gets one of the larger shares, so that it need not give
	// one up; then who has fewest partitions of other topics.
	order := slices.Clone(ms)
	slices.SortStableFunc(order, func(a, b *stickyMember) int {
		return cmp.Or(cmp.Compare(len(owned[b]), len(owned[a])), cmp.Compare(a.total, b.total))
	})
	quota := map[*stickyMember]int{}
	for i, m := range order {
		quota[m] = len(ids) / len(ms)
		if i < len(ids)%len(ms) {
			quota[m]++
		}
	}
	taken := map[int]bool{}
	for _, m := range ms {
		for _, id := range owned[m] {
			if quota[m] == 0 {
				break
			}
			m.give(topic, id)
			taken[id] = true
			quota[m]--
		}
	}
	i := 0
	for _, id := range ids {
		if taken[id] {
			continue
		}
		for quota[order[i]] == 0 {
			i++
		}
		order[i].give(topic, id)
		quota[order[i]]--
	}
}

// previous says who owned which of the partitions. Of two that claim the same
// one, the later generation is right: the other was cut off and lost it.
func previous(ms []*stickyMember, topic string, ids []int) map[*stickyMember][]int {
	owner := map[int]*stickyMember{}
	for _, m := range ms {
		for _, p := range m.claim.Owned[topic] {
			id := int(p)
			if o := owner[id]; o == nil || o.claim.Generation < m.claim.Generation {
				owner[id] = m
			}
		}
	}
	out := map[*stickyMember][]int{}
	for _, id := range ids {
		if m := owner[id]; m != nil {
			out[m] = append(out[m], id)
		}
	}
	return out
}
