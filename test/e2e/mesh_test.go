package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"nines/test/kafka"
	"nines/test/ports"
)

// matrix is what the API says of the mesh.
type matrix struct {
	Zones   []struct{ Zone string }
	N, Lost [][]int
	P50     [][]*float64
}

// pair is a pair of zones in it: packets, lost ones and the median round trip.
func (m *matrix) pair(from, to string) (n, lost int, p50 float64) {
	at := map[string]int{}
	for i, z := range m.Zones {
		at[z.Zone] = i + 1
	}
	if at[from] == 0 || at[to] == 0 {
		return 0, 0, 0
	}
	i, j := at[from]-1, at[to]-1
	if v := m.P50[i][j]; v != nil {
		p50 = *v
	}
	return m.N[i][j], m.Lost[i][j], p50
}

// TestTheMeshOfTwoAgents: two agents with a key find each other through Kafka, and
// the page's matrix has the way between their zones; when one is killed, it is
// lost for the other.
func TestTheMeshOfTwoAgents(t *testing.T) {
	t.Parallel()
	program := buildAgent(t)
	addr := kafka.Serve(t).Addr
	dir, conf := shipped(t)
	replaceIn(t, filepath.Join(conf, "nines.yaml"), "", fmt.Sprintf("kafka: {brokers: [%q]}\n", addr))
	s := &site{dir: dir, listen: ports.Free(t)}
	s.url = "http://" + s.listen
	collector := launch(t, binary, "collector", "--config", filepath.Join(conf, "nines.yaml"), "--data-dir", dir, "--listen", s.listen)
	s.healthy(t)
	key := filepath.Join(dir, "mesh.key")
	if err := os.WriteFile(key, []byte("a key for the whole fleet\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	agents := map[string]*daemon{}
	for _, name := range []string{"a", "b"} {
		file := filepath.Join(t.TempDir(), "agent.yaml")
		text := fmt.Sprintf("agent: %s\nlabels: {zone: z%s, region: r}\nself_interval: 1s\nlocal: {listen: \"off\"}\nkafka: {brokers: [%q]}\nmesh: {listen: %q, packets_per_second: 20, key_file: %s}\n",
			name, name, addr, freeUDP(t), key)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		agents[name] = launch(t, program, "--config", file)
	}
	seen := func(from, to string, ok func(n, lost int, p50 float64) bool) func() error {
		return func() error {
			var m matrix
			if err := s.get("/api/nines/v1/mesh", &m); err != nil {
				return err
			}
			n, lost, p50 := m.pair(from, to)
			if !ok(n, lost, p50) {
				return fmt.Errorf("%s to %s: %d packets, %d lost, median %v s", from, to, n, lost, p50)
			}
			return nil
		}
	}
	for _, p := range [][2]string{{"za", "zb"}, {"zb", "za"}} {
		eventually(t, 60*time.Second, "the matrix has both ways", seen(p[0], p[1], func(n, lost int, p50 float64) bool {
			return n > 20 && lost < n/2 && p50 > 0 && p50 < 1
		}))
	}
	if err := agents["b"].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "b's loss shows", seen("za", "zb", func(_, lost int, _ float64) bool { return lost > 20 }))
	agents["a"].interrupt(t)
	collector.interrupt(t)
}
