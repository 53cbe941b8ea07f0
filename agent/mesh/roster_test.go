package mesh

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memoryBoard is a board for the followers of one process. Its zero value is
// empty; away makes it fail.
type memoryBoard struct {
	mu      sync.Mutex
	keys    []string
	values  [][]byte
	away    bool
	written int
}

// view is the board as one of them reads it.
type view struct {
	*memoryBoard
	next int
}

var errAway = errors.New("the board is away")

func (v *view) Poll(_ context.Context, _ string, _ int64, each func(string, []byte)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.away {
		return errAway
	}
	for ; v.next < len(v.keys); v.next++ {
		each(v.keys[v.next], v.values[v.next])
	}
	return nil
}

func (v *view) Put(_ context.Context, _, key string, value []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.away {
		return errAway
	}
	v.keys, v.values = append(v.keys, key), append(v.values, value)
	v.written++
	return nil
}

func (b *memoryBoard) set(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
}

func (b *memoryBoard) writes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.written
}

// member is a follower that runs, and the peers that it was last given.
type member struct {
	f    *follower
	stop context.CancelFunc
	done chan struct{}
}

// join runs a follower of a host in a bubble.
func join(t *testing.T, b *memoryBoard, h Host, slots int) *member {
	t.Helper()
	m, err := New(Options{
		Config: Config{Listen: ":9862", Advertise: h.Addr.String(), Slots: slots}, Host: h, Boot: rand.Uint64(), Board: &view{memoryBoard: b},
		Now: func() int64 { return time.Now().UnixMilli() }, Figures: &Figures{},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	out := &member{f: newFollower(m, h, make(chan []Host, 1)), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(out.done)
		_ = out.f.run(ctx)
	}()
	return out
}

func (m *member) holds() bool { return m.f.m.opt.Figures.slot.Load() > 0 }

func (m *member) peers() int {
	select {
	case h := <-m.f.out:
		m.f.out <- h
		return len(h)
	default:
		return 0
	}
}

// leaves ends a member; it dies where it may not say so.
func (m *member) leaves(b *memoryBoard, says bool) {
	b.set(!says)
	m.stop()
	<-m.done
	b.set(false)
}

func holders(all []*member) (n int) {
	for _, m := range all {
		if m.holds() {
			n++
		}
	}
	return n
}

// A zone of sixty hosts and eight slots starts at once: eight hold one, each its
// own, and keep it; who dies or leaves is followed by one of those that stand by.
func TestAZoneLargerThanItsSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &memoryBoard{}
		var all []*member
		for _, h := range fleet(60) {
			all = append(all, join(t, b, h, 8))
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if n := holders(all); n != 8 {
			t.Fatalf("%d hosts hold 8 slots", n)
		}
		before := map[*member]int64{}
		for _, m := range all {
			before[m] = m.f.m.opt.Figures.slot.Load()
		}
		written := b.writes()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		for m, slot := range before {
			if now := m.f.m.opt.Figures.slot.Load(); now != slot {
				t.Errorf("%s moved from slot %d to %d", m.f.self.Name, slot-1, now-1)
			}
		}
		if n := b.writes() - written; n < 8*20 || n > 8*28 { // two hours of one in 4.5 to 5.5 minutes, seen each minute
			t.Errorf("%d records in two hours", n)
		}
		goes := func(says bool) {
			i := slices.IndexFunc(all, (*member).holds)
			all[i].leaves(b, says)
			all = slices.Delete(all, i, i+1)
		}
		goes(false)
		time.Sleep(validFor + time.Minute)
		goes(true)
		time.Sleep(standbyPause * 3 / 2)
		synctest.Wait()
		if n := holders(all); n != 8 {
			t.Errorf("%d hosts hold a slot after two went", n)
		}
		for _, m := range all {
			if m.holds() && m.peers() < leastPeers {
				t.Errorf("%s has %d peers", m.f.self.Name, m.peers())
			}
			if !m.holds() && m.peers() > 0 {
				t.Errorf("%s stands by and has %d peers", m.f.self.Name, m.peers())
			}
			m.stop()
			<-m.done
		}
	})
}

// While the board is away everybody goes on; a host that restarts keeps its slot.
func TestTheBoardGoesAwayAndAHostRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &memoryBoard{}
		var all []*member
		for _, h := range fleet(3, 3) {
			all = append(all, join(t, b, h, 32))
		}
		time.Sleep(2 * time.Minute)
		b.set(true)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		for _, m := range all {
			if !m.holds() || m.peers() == 0 || m.f.m.opt.Figures.entries.Load() != 6 {
				t.Errorf("%s lost its peers with the board", m.f.self.Name)
			}
		}
		b.set(false)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		slot := all[0].f.slot
		host := all[0].f.self
		all[0].leaves(b, false)
		host.Addr = netip.MustParseAddrPort("10.9.9.9:9862")
		all[0] = join(t, b, host, 32)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if all[0].f.slot != slot {
			t.Errorf("slot %d after a restart, %d before", all[0].f.slot, slot)
		}
		if !slices.Contains(all[4].f.hosts, host) || len(all[4].f.hosts) != 6 {
			t.Errorf("others know %v", all[4].f.hosts)
		}
		for _, m := range all {
			m.stop()
			<-m.done
		}
	})
}

func TestWhoIsThere(t *testing.T) {
	r := newRoster()
	now := began.UnixMilli()
	put := func(name, zone, addr string, slot int, age time.Duration) {
		t.Helper()
		e := entry{host: testHost(name, zone, addr), boot: "1", announced: now - age.Milliseconds(), validFor: validFor}
		if err := r.apply(seat{zone, slot}.key(), e.encode(), now); err != nil {
			t.Fatal(err)
		}
	}
	put("b", "y", "198.18.0.2:1", 0, 0)
	put("a", "z", "198.18.0.1:1", 3, 0)
	put("a", "z", "198.18.0.9:1", 4, 0) // the same host in two slots
	put("old", "z", "198.18.0.3:1", 5, validFor)
	put("six", "z", "[2001:db8::1]:1", 6, 0)
	put("here", "z", "127.0.0.1:1", 7, 0)
	put("ahead", "z", "198.18.0.4:1", 8, -24*time.Hour)
	names := func(addr string) (out []string) {
		for _, h := range r.live(now, testHost("", "", addr)) {
			out = append(out, h.Name)
		}
		return out
	}
	for addr, want := range map[string][]string{"198.18.0.7:1": {"b", "a", "ahead"}, "[2001:db8::7]:1": {"six"}, "127.0.0.1:9": {"here"}} {
		if got := names(addr); !slices.Equal(got, want) {
			t.Errorf("%s reaches %v, want %v", addr, got, want)
		}
	}
	if e := r.entries[seat{"z", 8}]; e.announced > now {
		t.Error("an entry from the future never expires")
	}
	if k := r.known(); !k[netip.MustParseAddr("198.18.0.3")] {
		t.Error("one that expired just now is not answered")
	}
	r.prune(now + (validFor + answerFor + time.Minute).Milliseconds())
	if len(r.entries) != 0 {
		t.Errorf("%v are kept for ever", slices.Collect(maps.Keys(r.entries)))
	}
}

func TestRubbishInTheRosterIsRefused(t *testing.T) {
	r := newRoster()
	good := entryDoc{Host: "a", Zone: "z", Address: "198.18.0.1:9862", Boot: "1", Announced: began.UnixMilli(), ValidFor: 900}
	f := func(ok bool, key string, change func(*entryDoc)) {
		t.Helper()
		d := good
		change(&d)
		v := fmt.Sprintf(`{"host":%q,"zone":%q,"region":%q,"address":%q,"boot":%q,"announced":%d,"valid_for":%g,"later":1}`,
			d.Host, d.Zone, d.Region, d.Address, d.Boot, d.Announced, d.ValidFor)
		if err := r.apply(key, []byte(v), began.UnixMilli()); (err == nil) != ok {
			t.Errorf("%s %s: %v", key, v, err)
		}
	}
	f(true, "z/1", func(*entryDoc) {})
	f(true, "a/b/c/31", func(d *entryDoc) { d.Zone = "a/b/c" })
	for _, key := range []string{"", "z", "/1", "z/", "z/x", "z/-1", "z/256", "z/01", "z/+1", "y/1"} {
		f(false, key, func(*entryDoc) {})
	}
	for _, a := range []string{"", "host:1", "198.18.0.1", "198.18.0.1:0", "0.0.0.0:1", "[::]:1", "224.0.0.1:1", "255.255.255.255:1", "[fe80::1%eth0]:1", "[ff02::1]:1", "169.254.0.1:1"} {
		f(false, "z/1", func(d *entryDoc) { d.Address = a })
	}
	f(false, "z/1", func(d *entryDoc) { d.Host = "" })
	f(false, "z/1", func(d *entryDoc) { d.Host = "a\nb" })
	f(false, "z/1", func(d *entryDoc) { d.Region = strings.Repeat("r", 256) })
	f(false, "z/1", func(d *entryDoc) { d.ValidFor = 1e9 })
	f(false, "z/1", func(d *entryDoc) { d.ValidFor = -1 })
	f(false, "z/1", func(d *entryDoc) { d.Announced = -1 })
	for _, v := range []string{"x", "[]", "null", `{"host":1}`, strings.Repeat(" ", maxEntry) + "{}"} {
		if r.apply("z/1", []byte(v), 0) == nil {
			t.Errorf("%q was taken", v)
		}
	}
	if len(r.entries) != 2 {
		t.Errorf("entries %v", r.entries)
	}
	for z := range 300 {
		for s := range maxSlots {
			_ = r.apply(seat{fmt.Sprint("zone-", z), s}.key(), fmt.Appendf(nil, `{"host":"h","zone":"zone-%d","address":"198.18.0.1:1","valid_for":9}`, z), 0)
		}
	}
	if len(r.entries) > maxEntries {
		t.Errorf("%d entries", len(r.entries))
	}
}

func TestAnEntryInBytes(t *testing.T) {
	e := entry{host: testHost("web-1", "eu-de-1", "198.18.0.1:9862"), boot: "00000000000000ff", announced: 1767323045500, validFor: validFor}
	const want = `{"host":"web-1","region":"r","zone":"eu-de-1","address":"198.18.0.1:9862","boot":"00000000000000ff","announced":1767323045500,"valid_for":900}`
	if got := string(e.encode()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzEntry(f *testing.F) {
	f.Add("z/1", []byte(`{"host":"a","zone":"z","address":"198.18.0.1:9862","boot":"1","announced":1,"valid_for":900}`))
	f.Add("a/b/2", []byte(`{"host":"a","zone":"a/b","address":"[2001:db8::1]:1","valid_for":0.5}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		r := newRoster()
		if r.apply(key, value, 1000) != nil {
			return
		}
		for at, e := range r.entries {
			if at.key() != key || e.announced > 1000 || e.validFor <= 0 || e.validFor > maxValid {
				t.Fatalf("%q %q became %+v", key, value, e)
			}
			if again, err := parseEntry(e.encode()); err != nil || again != e {
				t.Fatalf("%+v became %+v, %v", e, again, err)
			}
		}
	})
}

// BenchmarkReadRoster reads a roster of 92 zones whose 32 slots were renewed three
// times, as an agent does when it starts.
func BenchmarkReadRoster(b *testing.B) {
	type rec struct {
		key   string
		value []byte
	}
	var recs []rec
	for range 3 {
		for _, h := range fleet(same92(32)...) {
			e := entry{host: h, boot: "00000000000000ff", announced: began.UnixMilli(), validFor: validFor}
			recs = append(recs, rec{seat{h.Zone, int(h.Addr.Addr().As4()[3])}.key(), e.encode()})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		r := newRoster()
		for _, x := range recs {
			if err := r.apply(x.key, x.value, began.UnixMilli()); err != nil {
				b.Fatal(err)
			}
		}
		if n := len(r.live(began.UnixMilli(), testHost("", "", "10.0.0.1:1"))); n != 92*32 {
			b.Fatal(n)
		}
	}
}
