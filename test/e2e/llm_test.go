package e2e

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nines/internal/bus"
	"nines/internal/telemetry"
	"nines/internal/wire"
	"nines/test/kafka"
	"nines/test/llm"
)

// modelSamples is the newest value of each of an agent's series, by name, job and
// reason.
type modelSamples map[string]float64

// take adds a frame's samples.
func (m modelSamples) take(f *telemetry.Frame) {
	for i := range f.Blocks {
		b := &f.Blocks[i]
		if b.Schema == nil {
			continue
		}
		for c := range b.Schema.Series {
			s := &b.Schema.Series[c]
			for r := range b.Times {
				if k := c*len(b.Times) + r; !b.IsAbsent(k) && s.Kind != telemetry.Histogram {
					m[strings.Join([]string{s.Name, s.Labels.Get("job"), s.Labels.Get("reason")}, " ")] = b.Values[k]
				}
			}
		}
	}
}

const modelAgent = `agent: web-17
labels: {zone: zone-b, region: north}
flush: 200ms
inputs: "[[inputs.mem]]"
local: {listen: "off"}
probes:
  jobs:
    - {name: chat, probe: llm, interval: 1s, targets: ["%[1]s/v1"], llm: {model: good, api_key_file: key, max_tokens: 5}}
    - {name: busy, probe: llm, interval: 1s, targets: ["%[1]s/v1"], llm: {model: busy, api_key_file: key}}
kafka: {brokers: ["%[2]s"]}
`

// A model that answers and one that refuses, asked by the agent's own process:
// what it measured is in Kafka as series, and the key is nowhere.
func TestAModelIsProbedByTheAgentsProcess(t *testing.T) {
	const key = "sk-e2e-0123456789"
	models := llm.New(key, map[string]llm.Script{
		"good": {Tokens: []string{"one", " two", " three", " four", " five"}, Wait: 150 * time.Millisecond, Gap: 20 * time.Millisecond},
		"busy": {Status: 429, Header: map[string]string{"Retry-After": "17"}, Body: `{"error":{"message":"Rate limit reached"}}`},
	})
	srv := httptest.NewServer(models)
	defer srv.Close()
	server := kafka.Serve(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"agent.yaml": fmt.Sprintf(modelAgent, srv.URL, server.Addr), "key": key + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{server.Addr}}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if _, err := client.EnsureTopic(ctx, bus.Topic{Name: wire.TopicTelemetry, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	ag := launch(t, buildAgent(t), "--config", filepath.Join(dir, "agent.yaml"), "--state-dir", t.TempDir())

	got := modelSamples{}
	enough := func() bool {
		return got["probe_success chat "] == 1 && got["probe_llm_ttft_seconds chat "] > 0 && got["probe_failures_total busy rate_limited"] > 0 &&
			got["probe_llm_completion_tokens chat "] > 0 && got["probe_llm_retry_after_seconds busy "] > 0
	}
	r := client.Reader(wire.TopicTelemetry, 0, 0)
	schemas := wire.NewSchemaCache(0)
	var d wire.Decoder
	for !enough() {
		recs, err := r.Fetch(ctx, time.Second)
		if err != nil {
			t.Fatalf("%v; so far %v", err, got)
		}
		for _, rec := range recs {
			var f telemetry.Frame
			if err := d.DecodeFrame(rec.Value, &f, schemas); err != nil {
				continue // ticks are no frames
			}
			got.take(&f)
		}
	}
	ag.interrupt(t)
	if ttft := got["probe_llm_ttft_seconds chat "]; ttft < 0.15 || ttft > 1 {
		t.Errorf("time to the first token: %v s, the model waits 0.15 s", ttft)
	}
	if whole := got["probe_duration_seconds chat "]; whole < 0.15+4*0.02 {
		t.Errorf("the whole answer: %v s", whole)
	}
	if rate := got["probe_llm_tokens_per_second chat "]; rate <= 0 || rate > 50 {
		t.Errorf("%v tokens a second, the model sends one in 20 ms", rate)
	}
	for name, want := range map[string]float64{
		"probe_llm_prompt_tokens chat ": llm.PromptTokens, "probe_llm_completion_tokens chat ": 5,
		"probe_success busy ": 0, "probe_llm_retry_after_seconds busy ": 17, "probe_http_status busy ": 429, "probe_http_status chat ": 200,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (there: %v), want %v", name, v, ok, want)
		}
	}
	if strings.Contains(ag.out.String(), key) {
		t.Error("the key is in the log")
	}
	for _, q := range models.Requests() {
		if q.Header.Get("Authorization") != "Bearer "+key || !q.Stream {
			t.Errorf("a request without the key, or no stream: %+v", q)
		}
	}
}
