package agent

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"nines/agent/mesh"
	"nines/internal/bus"
	"nines/internal/telemetry"
	"nines/internal/wire"
	"nines/test/kafka"
)

// rosterOn returns a client of a broker that has the roster's topic.
func rosterOn(t *testing.T, server *kafka.Server, partitions int) *bus.Client {
	t.Helper()
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{server.Addr}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, topic := range []bus.Topic{{Name: wire.TopicTelemetry, Partitions: 2},
		{Name: wire.TopicRoster, Partitions: partitions, Compact: true, Retention: 24 * time.Hour, Segment: time.Hour}} {
		if _, err := client.EnsureTopic(ctx, topic); err != nil {
			t.Fatal(err)
		}
	}
	return client
}

// What is put on the board is read once, by zone where one is asked for, across a
// broker that was away, and not from before since.
func TestTheBoardIsATopic(t *testing.T) {
	server := kafka.Serve(t)
	client := rosterOn(t, server, 4)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	now := int64(1_000_000)
	writes, reads := newBoard(client, func() int64 { return now }), newBoard(client, func() int64 { return now })
	poll := func(zone string, since int64) (got []string) {
		t.Helper()
		if err := reads.Poll(ctx, zone, since, func(key string, value []byte) {
			got = append(got, fmt.Sprintf("%s=%s", key, value))
		}); err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		return got
	}
	put := func(zone string, slot int, value string) {
		t.Helper()
		var v []byte
		if value != "" {
			v = []byte(value)
		}
		if err := writes.Put(ctx, zone, fmt.Sprintf("%s/%d", zone, slot), v); err != nil {
			t.Fatal(err)
		}
	}
	want := func(got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("read %v, want %v", got, want)
		}
	}
	put("old", 0, "too old")
	now += 3_600_000
	put("y", 0, "1")
	put("z", 1, "2")
	want(poll("", now-1000), "y/0=1", "z/1=2")
	want(poll("", now-1000))
	put("z", 1, "")
	put("z", 2, "3")
	want(poll("z", now-1000), "z/1=", "z/2=3")
	server.Stop()
	if err := reads.Poll(ctx, "", 0, nil); err == nil {
		t.Error("no error while the broker is away")
	}
	server.Start()
	until(t, "the broker", func() bool { return client.Ping(ctx) == nil })
	put("y", 1, "4")
	want(poll("", now-1000), "y/1=4")
	now += 3_600_000
	put("y", 2, "6")
	want(poll("", now-1000), "y/2=6") // a position from before since is left
}

// Two agents on one host find each other through Kafka and measure the way
// between them; a reload ends one's part, and the other's series of it.
func TestTwoAgentsMeetInTheRoster(t *testing.T) {
	server := kafka.Serve(t)
	client := rosterOn(t, server, 8)
	config := func(name, zone string) Config {
		return Config{Agent: name, Labels: map[string]string{"zone": zone, "region": "r-" + zone}, Flush: 100 * time.Millisecond, SelfInterval: 100 * time.Millisecond,
			Mesh: mesh.Config{Listen: freePort(t), PacketsPerSecond: 50}, Kafka: bus.Config{Brokers: []string{server.Addr}}}
	}
	cfg := config("a", "za")
	a, stopA := start(t, cfg, nil)
	b, stopB := start(t, config("b", "zb"), nil)
	met := func() bool { return a.meshFigure("answers_total") > 20 && b.meshFigure("answers_total") > 20 }
	until(t, "answers to both", met)
	frames := telemetryOf(t, client, func(fs []telemetry.Frame) bool {
		return len(timesOf(fs, "mesh_rtt_seconds", "peer", "b")) > 5 && len(timesOf(fs, "mesh_rtt_seconds", "peer", "a")) > 5 &&
			len(timesOf(fs, "nines_agent_mesh_peers", "", "")) > 0
	})
	for _, f := range frames {
		for _, blk := range f.Blocks {
			if blk.Schema == nil {
				continue
			}
			for _, s := range blk.Schema.Series {
				if p := s.Labels.Get("peer"); p != "" && (s.Labels.Get("peer_zone") != "z"+p || s.Labels.Get("peer_region") != "r-z"+p || f.Agent == p) {
					t.Fatalf("series of %s: %s%s", f.Agent, s.Name, s.Labels)
				}
			}
		}
	}

	cfg.Labels = map[string]string{"zone": "za", "region": "r-za", "rack": "7"}
	before := a.meshFigure("answers_total")
	if err := a.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	until(t, "answers after a reload that leaves the mesh alone", func() bool { return a.meshFigure("answers_total") > before+5 })
	cfg.Mesh = mesh.Config{Listen: cfg.Mesh.Listen, KeyFile: "absent"}
	if err := a.Reload(cfg); err == nil || !strings.Contains(err.Error(), "mesh.key_file") {
		t.Errorf("a key that is absent: %v", err)
	}
	cfg.Mesh = mesh.Config{}
	if err := a.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	until(t, "b to read that a is gone", func() bool { return b.meshFigure("peers") == 0 })
	if err := stopA(); err != nil {
		t.Error(err)
	}
	if err := stopB(); err != nil {
		t.Error(err)
	}
	until(t, "farewells", func() bool {
		left := map[string]bool{}
		err := newBoard(client, func() int64 { return time.Now().UnixMilli() }).Poll(t.Context(), "", 0, func(key string, value []byte) {
			left[key] = len(value) > 0
		})
		return err == nil && len(left) == 2 && !left["za/0"] && !slices.Contains([]bool{left[keyOf(left, "za")], left[keyOf(left, "zb")]}, true)
	})
}

func keyOf(m map[string]bool, zone string) string {
	for k := range m {
		if strings.HasPrefix(k, zone+"/") {
			return k
		}
	}
	return ""
}

// freePort is a UDP port of this host that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return fmt.Sprintf(":%d", c.LocalAddr().(*net.UDPAddr).Port)
}

// meshFigure returns what the mesh says of itself.
func (a *Agent) meshFigure(name string) float64 {
	r, ok := a.meshFigures.Round(0)
	if !ok {
		return 0
	}
	for i, s := range r.Schema.Series {
		if s.Name == "nines_agent_mesh_"+name && len(s.Labels) == 0 {
			return r.Values[i]
		}
	}
	return -1
}

// telemetryOf reads nines.telemetry until enough has come.
func telemetryOf(t *testing.T, client *bus.Client, enough func([]telemetry.Frame) bool) (frames []telemetry.Frame) {
	t.Helper()
	schemas := wire.NewSchemaCache(0)
	readers := []*bus.Reader{client.Reader(wire.TopicTelemetry, 0, 0), client.Reader(wire.TopicTelemetry, 1, 0)}
	until(t, "telemetry", func() bool {
		for _, r := range readers {
			err := r.Drain(t.Context(), func(rec *bus.Record) {
				var (
					d wire.Decoder
					f telemetry.Frame
				)
				if err := d.DecodeFrame(append([]byte(nil), rec.Value...), &f, schemas); err == nil {
					frames = append(frames, f)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return enough(frames)
	})
	return frames
}

func TestConfigurationOfTheMesh(t *testing.T) {
	f := func(c mesh.Config, zone string, want ...string) {
		t.Helper()
		cfg := Config{Agent: "a", Labels: map[string]string{"region": "r"}, Mesh: c}
		if zone != "" {
			cfg.Labels["zone"] = zone
		}
		err := cfg.Validate()
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%+v: %v, want %q", c, err, w)
			}
		}
		if len(want) == 0 && err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	f(mesh.Config{}, "")
	f(mesh.Config{Listen: ":9862"}, "z")
	f(mesh.Config{Listen: "198.18.0.1:9862", Advertise: "198.18.0.2"}, "z")
	f(mesh.Config{Listen: "0.0.0.0:9862", Advertise: "198.18.0.2:862"}, "z")
	f(mesh.Config{Listen: "[::]:9862", PacketsPerSecond: 0.5, K: 1, MaxPeers: 1, Slots: 1}, "z")
	f(mesh.Config{Listen: ":9862"}, "", "mesh.listen: a mesh is between zones")
	f(mesh.Config{K: 3}, "z", "mesh.listen: is empty")
	f(mesh.Config{Listen: "9862"}, "z", "mesh.listen: must be :port")
	f(mesh.Config{Listen: ":0"}, "z", "mesh.listen: the port must be")
	f(mesh.Config{Listen: "web-1:9862"}, "z", "mesh.listen: must be :port")
	f(mesh.Config{Listen: ":9862", Advertise: "web-1"}, "z", "mesh.advertise: must be an address")
	f(mesh.Config{Listen: ":9862", Advertise: "0.0.0.0"}, "z", "mesh.advertise: must be the address of one host")
	f(mesh.Config{Listen: ":9862", Advertise: "224.0.0.1:1"}, "z", "mesh.advertise: must be the address of one host")
	f(mesh.Config{Listen: "198.18.0.1:9862", Advertise: "2001:db8::1"}, "z", "mesh.advertise: must be of the family")
	f(mesh.Config{Listen: ":9862", PacketsPerSecond: 51, K: 17, MaxPeers: -1, Slots: 257}, "z",
		"mesh.packets_per_second: must lie within 0.1 and 50, got 51", "mesh.k: must lie within 1 and 16, got 17",
		"mesh.max_peers: must lie within 1 and 1024, got -1", "mesh.slots: must lie within 1 and 256, got 257")
}
