package agent

import (
	"log/slog"
	"net"
	"strings"
	"testing"

	"nines/internal/telemetry"
)

// Nobody answers at a port: that is a figure of both inputs, and no error.
func TestTimeInputsOfTheAgent(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := conn.LocalAddr().String()
	conn.Close()
	values, kinds := gatherHost(t, nil, "[[inputs.chronyd]]\n  server = \"udp://"+address+"\"\n  timeout = \"200ms\"\n"+
		"[[inputs.ntp]]\n  servers = [\""+address+"\"]\n  timeout = \"200ms\"\n")
	of := `server="` + address + `",source="ntp"}`
	for name, want := range map[string]float64{
		`clock_source_up{source="chrony"}`: 0, `clock_source_failures_total{reason="unreachable",source="chrony"}`: 2,
		`clock_source_up{` + of: 0, `clock_source_failures_total{reason="unreachable",` + of: 1, `clock_source_stopped{` + of: 0,
	} {
		if v, ok := values[name]; !ok || v != want {
			t.Errorf("%s = %v (there: %v), want %v", name, v, ok, want)
		}
	}
	if kinds["clock_source_failures_total"] != telemetry.Counter || kinds["clock_source_up"] != telemetry.Gauge {
		t.Errorf("kinds: %v", kinds)
	}
}

func TestTimeInputsThatAreWrong(t *testing.T) {
	f := func(toml, want string) {
		t.Helper()
		if _, err := NewInputs(Config{Agent: "web-17", Inputs: toml}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", toml, err, want)
		}
	}
	f("[[inputs.ntp]]\n", "servers: want 1 to 16, got 0")
	f("[[inputs.ntp]]\nservers = [\"a\"]\npoll = \"1s\"\n", "poll: must be between 16s and 1h0m0s, got 1s")
	f("[[inputs.chronyd]]\nserver = \"127.0.0.1\"\n", `server: want udp://HOST:PORT or unix:///PATH, got "127.0.0.1"`)
	f("[[inputs.chronyd]]\ntimeout = \"1m\"\n", "timeout: must be between 0s and 10s")
}
