package torture

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"
)

const clockFormat = "15:04:05.000"

// step is one thing that happens to the site.
type step struct {
	at, lasts time.Duration
	what      string
	who       int
	arg       int64
}

// kinds are the actions and how often they are drawn.
var kinds = []struct {
	what   string
	weight int
}{
	{"kill agent", 6}, {"term agent", 4}, {"pause agent", 3},
	{"kill collector", 6}, {"term collector", 3}, {"pause collector", 4},
	{"kill broker", 2}, {"pause broker", 2},
	{"agent link", 14}, {"collector link", 8},
	{"agent clock", 4}, {"counter reset", 4}, {"schema", 6}, {"rules", 4}, {"partition", 1}, {"collector clock", 2},
}

// newPlan draws what happens, a function of the seed alone.
func newPlan(seed uint64, length time.Duration, sh shape) []step {
	dice := rand.New(rand.NewPCG(seed, 11))
	sum := 0
	for _, k := range kinds {
		sum += k.weight
	}
	var out []step
	added := 0
	all := dice.Perm(len(kinds)) // each kind once first
	for at := 4 * time.Second; at < length; at += time.Duration(200+dice.IntN(2000)) * time.Millisecond {
		n, i := dice.IntN(sum), 0
		for ; n >= kinds[i].weight; i++ {
			n -= kinds[i].weight
		}
		if len(all) > 0 {
			i, all = all[0], all[1:]
		}
		st := step{at: at, what: kinds[i].what, lasts: time.Duration(300+dice.IntN(6000)) * time.Millisecond}
		switch {
		case strings.HasSuffix(st.what, "collector"), st.what == "collector link", st.what == "rules":
			st.who = dice.IntN(sh.Collectors)
		default:
			st.who = dice.IntN(sh.Agents)
		}
		if dice.IntN(6) == 0 { // longer than a session, than the hard bound, than a spool
			st.lasts += time.Duration(dice.IntN(15000)) * time.Millisecond
		}
		switch st.what {
		case "agent link", "collector link":
			st.arg = 1 + dice.Int64N(int64(linkStates)-1)
		case "agent clock":
			st.arg = dice.Int64N(40_000) - 20_000
		case "schema":
			st.arg = dice.Int64N(int64(len(variants)))
		case "rules":
			st.arg = dice.Int64N(int64(len(ruleVariants)))
		case "collector clock":
			st.arg = dice.Int64N(9_000)
		case "partition":
			if added++; added > 2 {
				continue
			}
		}
		out = append(out, st)
	}
	return out
}

// run carries the plan out. What it does and when goes to the timeline.
func (s *site) run(plan []step, length time.Duration) {
	start := time.Now()
	var undo []struct {
		at time.Duration
		f  func()
	}
	later := func(at time.Duration, f func()) {
		undo = append(undo, struct {
			at time.Duration
			f  func()
		}{at, f})
	}
	for {
		now := time.Since(start)
		if now >= length {
			return
		}
		next := length
		for i := 0; i < len(undo); {
			if undo[i].at > now {
				next = min(next, undo[i].at)
				i++
				continue
			}
			f := undo[i].f
			undo = append(undo[:i], undo[i+1:]...)
			f()
		}
		for len(plan) > 0 && plan[0].at <= now {
			st := plan[0]
			plan = plan[1:]
			if f := s.do(st); f != nil {
				later(now+st.lasts, f)
			}
		}
		if len(plan) > 0 {
			next = min(next, plan[0].at)
		}
		s.supervise()
		s.wait(min(max(next-time.Since(start), 0), 500*time.Millisecond))
	}
}

// supervise starts again what ended by itself, as systemd would.
func (s *site) supervise() {
	for _, p := range s.all() {
		if p.ended() && !p.want {
			s.note("%s ended by itself: %v; it is started again", p.name, p.err)
			s.begin(p)
		}
	}
}

func (s *site) begin(p *process) {
	if err := p.start(); err != nil {
		s.t.Fatal(err)
	}
}

// do begins a step and returns what ends it.
func (s *site) do(st step) (undo func()) {
	s.note("%s %d, %d, for %s", st.what, st.who, st.arg, st.lasts)
	switch words := strings.Fields(st.what); words[0] {
	case "kill":
		return s.stop(s.victim(words[1], st.who), syscall.SIGKILL)
	case "term":
		return s.stop(s.victim(words[1], st.who), syscall.SIGTERM)
	case "pause":
		p := s.victim(words[1], st.who)
		p.signal(syscall.SIGSTOP)
		return func() { p.signal(syscall.SIGCONT); s.note("%s goes on", p.name) }
	}
	switch st.what {
	case "agent link", "collector link":
		l := s.links[st.who]
		if st.what == "collector link" {
			l = s.links[len(s.agents)+st.who]
		}
		l.set(linkState(st.arg))
		return func() { l.set(linkUp); s.note("%s %d is %s no more", st.what, st.who, linkNames[st.arg]) }
	case "agent clock":
		a := s.agents[st.who]
		a.conf.Step = time.Duration(st.arg) * time.Millisecond
		a.tell("step %d", st.arg)
	case "counter reset":
		a := s.agents[st.who]
		a.conf.Reset = time.Now().UnixMilli()
		a.tell("reset %d", a.conf.Reset)
	case "schema":
		a := s.agents[st.who]
		a.conf.Variant = int(st.arg)
		a.tell("variant %d", st.arg)
	case "rules":
		s.writeRules(int(st.arg))
		s.collectors[st.who].signal(syscall.SIGHUP)
	case "partition":
		return s.addPartition
	case "collector clock":
		if err := s.tick(int32(st.who%s.partitions), time.Duration(st.arg)*time.Millisecond); err != nil {
			s.note("the tick failed: %v", err)
		}
	}
	return nil
}

func (s *site) addPartition() {
	if err := s.grow(); err != nil {
		s.note("%v", err)
		return
	}
	s.note("nines.telemetry has %d partitions", s.partitions)
}

func (s *site) victim(kind string, who int) *process {
	switch kind {
	case "agent":
		return s.agents[who].process
	case "collector":
		return s.collectors[who]
	}
	return s.kafka.nodes[who%len(s.kafka.nodes)]
}

// stop ends a process and returns what starts it again.
func (s *site) stop(p *process, sig syscall.Signal) func() {
	if p.ended() {
		return nil
	}
	p.want = true
	p.signal(sig)
	return func() {
		p.signal(syscall.SIGCONT)
		if err := p.end(sig, 20*time.Second); err != nil {
			s.t.Errorf("%s: %v", time.Now().Format(clockFormat), err)
		}
		s.note("%s starts", p.name)
		s.begin(p)
	}
}

// note adds a line to the timeline.
func (s *site) note(format string, args ...any) {
	s.timeline = append(s.timeline, time.Now().Format(clockFormat)+" "+fmt.Sprintf(format, args...))
}
