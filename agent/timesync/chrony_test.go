package timesync

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const chronyLabels = `{source="chrony"}`

// chronyd runs the real one, which follows a server and leaves this machine's
// clock alone. It returns its UDP address and socket.
func chronyd(t *testing.T, follow string) (udp, socket string) {
	t.Helper()
	path := program(t, "chronyd")
	dir, err := os.MkdirTemp("", "chrony")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.LocalAddr().String())
	free.Close()
	socket = filepath.Join(dir, "chronyd.sock")
	conf := fmt.Sprintf("port 0\ncmdport %s\nbindcmdaddress 127.0.0.1\nbindcmdaddress %s\npidfile %s/pid\n%s\n", port, socket, dir, follow)
	file := filepath.Join(dir, "chrony.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(path, "-U", "-x", "-d", "-u", userName(t), "-f", file)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return "udp://127.0.0.1:" + port, "unix://" + socket
}

func userName(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("id", "-un").Output()
	if err != nil {
		t.Skip(err)
	}
	return strings.TrimSpace(string(out))
}

func newChrony(t testing.TB, server string) *Chrony {
	t.Helper()
	c, err := NewChrony(ChronyOptions{Server: server})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// until reads until a figure has a value.
func until(t testing.TB, r reader, name string, want float64) map[string]float64 {
	t.Helper()
	var got map[string]float64
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if got = values(t, r); got[name] == want {
			return got
		}
		pause := time.NewTimer(20 * time.Millisecond)
		<-pause.C
	}
	t.Fatalf("%s never was %v: %v", name, want, got)
	return nil
}

// Our server's clock is 0.4 s ahead; so this host's is behind, says chronyd, and
// so does chronyc of the same figures.
func TestTheRealChronydFollowsAServer(t *testing.T) {
	server := newTimeServer(t, 400*time.Millisecond)
	host, port, _ := net.SplitHostPort(server.address())
	udp, socket := chronyd(t, "server "+host+" port "+port+" iburst minpoll -4 maxpoll -4")
	c := newChrony(t, udp)
	got := until(t, c, "clock_synchronised"+chronyLabels, 1)
	near(t, "offset", got["clock_offset_seconds"+chronyLabels], 0.4, 0.05)
	near(t, "root delay", got["clock_root_delay_seconds"+chronyLabels], 0.01, 0.05)
	for name, want := range map[string]float64{"clock_source_up": 1, "clock_stratum": 2, "clock_leap": 0} {
		near(t, name, got[name+chronyLabels], want, 0)
	}
	near(t, "root dispersion", got["clock_root_dispersion_seconds"+chronyLabels], 1, 0.98) // 0.02 s of our server, and its own
	near(t, "reference", got[`clock_reference_info{reference="127.0.0.1",source="chrony"}`], 1, 0)
	near(t, "age of the reference", got["clock_reference_age_seconds"+chronyLabels], 5, 5)
	for _, name := range []string{"clock_last_offset_seconds", "clock_rms_offset_seconds", "clock_frequency_error_ratio", "clock_skew_ratio", "clock_update_interval_seconds"} {
		if _, ok := got[name+chronyLabels]; !ok {
			t.Errorf("%s is absent", name)
		}
	}
	likeChronyc(t, udp, c)

	// The socket says the same, and nothing is left beside it.
	over := values(t, newChrony(t, socket))
	near(t, "offset over the socket", over["clock_offset_seconds"+chronyLabels], 0.4, 0.05)
	left, _ := filepath.Glob(filepath.Dir(strings.TrimPrefix(socket, "unix://")) + "/nines-agent*")
	if len(left) > 0 {
		t.Errorf("left beside chronyd's socket: %v", left)
	}
}

// likeChronyc compares with chrony's own client, which prints the same figures
// in the order of its report. chronyd moves on between the two questions.
func likeChronyc(t *testing.T, server string, c *Chrony) {
	t.Helper()
	path := program(t, "chronyc")
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(server, "udp://"))
	for range 50 {
		before := values(t, c)
		out, err := exec.Command(path, "-h", "127.0.0.1", "-p", port, "-n", "-c", "tracking").CombinedOutput()
		if err != nil {
			t.Fatalf("chronyc: %v %s", err, out)
		}
		after := values(t, c)
		if before["clock_last_offset_seconds"+chronyLabels] != after["clock_last_offset_seconds"+chronyLabels] {
			continue // an update came between
		}
		row, err := csv.NewReader(bytes.NewReader(out)).Read()
		if err != nil || len(row) != 14 {
			t.Fatalf("chronyc prints %q: %v", out, err)
		}
		for column, f := range map[int]struct {
			name            string
			scale, decimals float64
		}{
			2: {"clock_stratum", 1, 0}, 5: {"clock_last_offset_seconds", 1, 9}, 6: {"clock_rms_offset_seconds", 1, 9},
			9: {"clock_skew_ratio", 1e-6, 3}, 10: {"clock_root_delay_seconds", 1, 9}, 12: {"clock_update_interval_seconds", 1, 1},
		} {
			want, err := strconv.ParseFloat(row[column], 64)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "like chronyc: "+f.name, after[f.name+chronyLabels], want*f.scale, 0.51*f.scale*math.Pow(10, -f.decimals))
		}
		// chronyc prints the offset and the frequency with the other sign: how fast
		// the clock is.
		offset, _ := strconv.ParseFloat(row[4], 64)
		near(t, "like chronyc: offset", math.Abs(after["clock_offset_seconds"+chronyLabels]), math.Abs(offset), 0.02)
		return
	}
	t.Fatal("chronyd has an update between any two questions")
}

// A chronyd that follows nothing has zeros for figures: they are absent.
func TestTheRealChronydWithoutAServer(t *testing.T) {
	udp, _ := chronyd(t, "")
	c := newChrony(t, udp)
	got := until(t, c, "clock_source_up"+chronyLabels, 1)
	near(t, "leap", got["clock_leap"+chronyLabels], leapUnsynchronised, 0)
	if v, ok := got["clock_synchronised"+chronyLabels]; !ok || v != 0 {
		t.Errorf("synchronised: %v (there: %v)", v, ok)
	}
	for _, name := range []string{"clock_offset_seconds", "clock_stratum", "clock_reference_info", "clock_reference_age_seconds"} {
		if n, ok := hasPrefix(got, name); ok {
			t.Errorf("%s is there", n)
		}
	}
}

func TestNoChronydIsAFigure(t *testing.T) {
	gone := newTimeServer(t, 0)
	address := gone.address()
	gone.conn.Close()
	c := newChrony(t, "udp://"+address)
	got := values(t, c)
	if up, ok := got["clock_source_up"+chronyLabels]; !ok || up != 0 {
		t.Errorf("up: %v (there: %v)", up, ok)
	}
	near(t, "failures", got[`clock_source_failures_total{reason="unreachable",source="chrony"}`], 1, 0)
	got = values(t, newChrony(t, "unix:///nowhere/chronyd.sock"))
	near(t, "failures of the socket", got[`clock_source_failures_total{reason="unreachable",source="chrony"}`], 1, 0)
}

// Something else answers at chronyd's port, or nothing does.
func TestStrangersAtChronydsPort(t *testing.T) {
	f := func(reason string, answer func(request []byte) [][]byte) {
		t.Helper()
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			var buf [512]byte
			for {
				n, from, err := conn.ReadFrom(buf[:])
				if err != nil {
					return
				}
				for _, b := range answer(bytes.Clone(buf[:n])) {
					_, _ = conn.WriteTo(b, from)
				}
			}
		}()
		defer func() { conn.Close(); <-done }()
		c, err := NewChrony(ChronyOptions{Server: "udp://" + conn.LocalAddr().String(), Timeout: 100 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		got := values(t, c)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: took %s", reason, took)
		}
		near(t, reason, got[`clock_source_failures_total{reason="`+reason+`",source="chrony"}`], 1, 0)
		if n, ok := hasPrefix(got, "clock_offset"); ok {
			t.Errorf("%s: %s is there", reason, n)
		}
	}
	f("timeout", func([]byte) [][]byte { return nil })
	f("timeout", func(b []byte) [][]byte { return [][]byte{b, b[:3], {}} })
	f("malformed", func(b []byte) [][]byte { return slicesOf(b, 40) })
	f("refused", func(b []byte) [][]byte { return [][]byte{reply(b, 2, trackingReply)} })
	f("malformed", func(b []byte) [][]byte { return [][]byte{reply(b, 0, 6)} })
	f("malformed", func(b []byte) [][]byte { return [][]byte{reply(b, 0, trackingReply)[:60]} })
	f("malformed", func(b []byte) [][]byte { r := reply(b, 0, trackingReply); r[0] = 5; return [][]byte{r} })
	// Another's answer comes first, then ours.
	f("refused", func(b []byte) [][]byte {
		other := reply(b, 0, trackingReply)
		other[19]++
		return [][]byte{other, reply(b, 7, trackingReply)}
	})
}

func slicesOf(b []byte, n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = b
	}
	return out
}

// reply is chronyd's to a request.
func reply(request []byte, status, number uint16) []byte {
	b := make([]byte, trackingSize)
	b[0], b[1] = chronyVersion, chronyReply
	copy(b[4:6], request[4:6])
	binary.BigEndian.PutUint16(b[6:], number)
	binary.BigEndian.PutUint16(b[8:], status)
	copy(b[16:20], request[8:12])
	return b
}

func TestChronyFloat(t *testing.T) {
	f := func(bits uint32, want float64) {
		t.Helper()
		if got := chronyFloat(bits); got != want {
			t.Errorf("%08x: got %v, want %v", bits, got, want)
		}
	}
	f(0, 0)
	f(1<<25|1<<23, 0.5)                           // exponent 1
	f(1<<25|(1<<25-1<<23), -0.5)                  // a negative coefficient
	f(0x7f<<25|1<<24-1, (1<<24-1)/float64(1<<26)) // exponent -1
	f(63<<25|1<<24-1, float64(1<<24-1)*(1<<38))
	f(64<<25|1<<24, -math.Ldexp(1, -65))
}

func TestServersOfChrony(t *testing.T) {
	for _, bad := range []string{"127.0.0.1:323", "udp://127.0.0.1", "tcp://127.0.0.1:323", "unix://run/chronyd.sock", "unix://"} {
		if _, err := NewChrony(ChronyOptions{Server: bad}); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if c := newChrony(t, ""); len(c.servers) != 3 {
		t.Errorf("%v", c.servers)
	}
}

func FuzzTracking(f *testing.F) {
	request := trackingRequest(nil, 7)
	f.Add(reply(request, 0, trackingReply))
	f.Add(request)
	f.Add([]byte{})
	now := time.Unix(1_800_000_000, 0)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, mine, err := parseTracking(b, 7, now)
		if err != nil && (!mine || reasonOf(err) == reasonUnreachable) {
			t.Fatalf("mine %v: %v", mine, err)
		}
		for _, v := range []float64{got.offset, got.rootDelay, got.rootDispersion, got.frequencyError, got.referenceAge} {
			if math.IsInf(v, 0) || !mine && !math.IsNaN(v) || got.synchronised != 1 && !math.IsNaN(v) {
				t.Fatalf("%v of %+v", v, got)
			}
		}
		if strings.ContainsFunc(got.reference, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Fatalf("reference %q", got.reference)
		}
	})
}
