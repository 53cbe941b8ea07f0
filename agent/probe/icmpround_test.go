package probe

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"syscall"
	"testing"
	"time"

	"nines/agent/discovery"
)

const ms = time.Millisecond

func answered(rtt time.Duration) packet { return packet{sent: true, rtt: rtt} }

func lost() packet { return packet{sent: true, err: context.DeadlineExceeded} }

func TestRoundVerdicts(t *testing.T) {
	f := func(maxLoss float64, list []packet, ok bool, why reason, latency time.Duration, lost int, jitter float64) {
		t.Helper()
		r := newResult()
		(&icmpProbe{maxLoss: maxLoss}).judge(list, &r)
		wantResult(t, r, ok, why, "")
		wantFigures(t, r, map[figure]float64{figureJitter: jitter})
		if ok && r.latency != latency || r.lost != lost || r.sent-r.lost != len(r.rtts) {
			t.Errorf("%v %+v", list, r)
		}
	}
	none := math.NaN()
	f(0.5, []packet{answered(10 * ms), answered(14 * ms), answered(12 * ms)}, true, 0, 12*ms, 0, 0.003)
	f(0.5, []packet{answered(10 * ms), lost(), answered(14 * ms), lost()}, true, 0, 10*ms, 2, none)
	f(0.4, []packet{answered(10 * ms), lost(), answered(14 * ms), lost()}, false, reasonLoss, 0, 2, none)
	f(0, []packet{answered(ms), lost()}, false, reasonLoss, 0, 1, none)
	f(0, []packet{answered(ms), answered(ms)}, true, 0, ms, 0, 0)
	f(0.9, []packet{lost(), lost()}, false, reasonTimeout, 0, 2, none)
	f(0.9, []packet{{sent: true, err: &unreachableError{1}}}, false, reasonUnreachable, 0, 1, none)
	f(0.5, []packet{lost(), answered(ms), answered(5 * ms), answered(3 * ms), {}}, true, 0, 3*ms, 1, 0.003)
	r := newResult()
	(&icmpProbe{}).judge([]packet{{err: syscall.EPERM}, {err: syscall.EPERM}}, &r)
	if !r.local || r.sent != 0 {
		t.Errorf("nothing could be sent: %+v", r)
	}
}

// Rounds of five packets over the loopback: all are answered, spread over the
// interval, and what the series say adds up.
func TestICMPRounds(t *testing.T) {
	p := newPinger(slog.New(slog.DiscardHandler))
	_, err := p.socket(true)
	p.close()
	if errors.Is(err, errNotPermitted) {
		t.Skip("needs CAP_NET_RAW or net.ipv4.ping_group_range: ", err)
	}
	_, b, stop := startProber(t, Config{Interval: 100 * ms, Timeout: 2 * time.Second,
		Jobs: []Job{{Name: "ping", Probe: "icmp", Targets: []string{"127.0.0.1"}, ICMP: ICMP{Packets: 5}}}}, "", nil)
	eventually(t, "ten rounds", func() bool { return len(b.samples("probe_success")) >= 10 })
	stop()
	n := len(b.samples("probe_success"))
	equal(t, "success", values(b.samples("probe_success")), repeat(1, n))
	for _, d := range values(b.samples("probe_duration_seconds")) {
		if d < 0.08 {
			t.Errorf("five packets 20 ms apart took %v s", d)
		}
	}
	sent, _ := b.last("probe_packets_sent_total")
	lost, ok := b.last("probe_packets_lost_total")
	rtts := uint64(0)
	for _, x := range b.samples("probe_rtt_seconds") {
		rtts += x.h.Count
	}
	if sent.v > float64(5*n) || sent.v < float64(5*(n-3)) || !ok || lost.v != 0 || rtts != uint64(5*n) || len(b.samples("probe_jitter_seconds")) != n {
		t.Errorf("%d rounds: sent %v, lost %v, %d times, %d jitters", n, sent.v, lost.v, rtts, len(b.samples("probe_jitter_seconds")))
	}
}

// Packets leave at their times although no answer is read, and each is waited
// for in full.
func TestLostPacketsDelayNoOther(t *testing.T) {
	p := newPinger(slog.New(slog.DiscardHandler))
	defer p.close()
	conn, raw, err := openICMP(true)
	if errors.Is(err, errNotPermitted) {
		t.Skip("needs CAP_NET_RAW or net.ipv4.ping_group_range: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	p.v4 = pingSocket{conn: conn, raw: raw} // nobody reads it
	j := Config{}.withDefaults(Job{Name: "x", Probe: "icmp", Interval: 100 * ms, Timeout: 200 * ms, ICMP: ICMP{Packets: 4}})
	c, err := compileJob(j, env{ping: p})
	if err != nil {
		t.Fatal(err)
	}
	sp, err := c.target(discovery.Target{Address: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	r := runProbe(t.Context(), sp, 1)
	if wait := time.Since(start); r.ok || r.reason != reasonTimeout || r.sent != 4 || r.lost != 4 || wait < 275*ms || !r.starved && wait > 2*time.Second {
		t.Errorf("%+v after %v", r, wait)
	}
}
