package remotewrite

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"nines/test/module"
	"nines/test/ports"
)

// receiver is a program that can be stopped and started again where it was.
type receiver struct {
	t    *testing.T
	addr string
	args []string
	cmd  *exec.Cmd
}

func (r *receiver) start() {
	r.t.Helper()
	var log bytes.Buffer
	r.cmd = exec.Command(r.args[0], r.args[1:]...)
	r.cmd.Stdout, r.cmd.Stderr = &log, &log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "the receiver answers", func() bool {
		_, err := r.query("vector(1)")
		return err == nil
	})
}

func (r *receiver) stop() {
	if r.cmd == nil {
		return
	}
	r.cmd.Process.Signal(syscall.SIGTERM)
	r.cmd.Wait()
	r.cmd = nil
}

func (r *receiver) url() string { return "http://" + r.addr + "/api/v1/write" }

// samples asks the program's query API.
func (r *receiver) samples(name string) ([]point, error) {
	return r.query(name + "[1h]")
}

func (r *receiver) query(expr string) ([]point, error) {
	resp, err := http.Get(fmt.Sprintf("http://%s/api/v1/query?query=%s&time=%d", r.addr, url.QueryEscape(expr), time.Now().Unix()))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var out struct {
		Data struct {
			Result []struct {
				Values [][2]json.RawMessage
			}
		}
	}
	if resp.StatusCode != 200 {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return nil, err
	}
	var vals []point
	for _, s := range out.Data.Result {
		for _, v := range s.Values {
			text, _ := strconv.Unquote(string(v[1]))
			seconds, err1 := strconv.ParseFloat(string(v[0]), 64)
			value, err2 := strconv.ParseFloat(text, 64)
			if err := errors.Join(err1, err2); err != nil {
				return nil, err
			}
			vals = append(vals, point{int64(math.Round(seconds * 1000)), value})
		}
	}
	return vals, nil
}

func prometheus(t *testing.T) *receiver {
	t.Helper()
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("no prometheus here (apt-get install prometheus)")
	}
	dir, addr := t.TempDir(), ports.Free(t)
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {scrape_interval: 1h}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return &receiver{t: t, addr: addr, args: []string{binary, "--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + addr, "--web.enable-remote-write-receiver"}}
}

// victoriametrics builds VictoriaMetrics from its module, or takes the binary
// that NINES_VICTORIAMETRICS names.
func victoriametrics(t *testing.T) *receiver {
	t.Helper()
	binary := os.Getenv("NINES_VICTORIAMETRICS")
	if binary == "" {
		binary = module.Build(t, "../victoriametrics", "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics")
	}
	addr := ports.Free(t)
	return &receiver{t: t, addr: addr, args: []string{binary, "-storageDataPath=" + t.TempDir(), "-httpListenAddr=" + addr, "-search.latencyOffset=0s"}}
}
