package probe

import (
	"strings"
	"testing"
	"time"

	"nines/internal/yamlconf"
)

// complete uses every field.
const complete = `
interval: 1s
timeout: 900ms
in_flight: 32
control: ["tcp://10.0.0.1:53", "icmp://10.0.0.2", "https://example.com/", "dns://10.0.0.1/example.com?type=AAAA"]
jobs:
  - name: web
    probe: http
    interval: 5s
    timeout: 10s
    labels: {team: shop}
    targets: ["https://example.com/healthz", "10.0.0.7:8080"]
    file_sd: ["targets/*.yml"]
    http_sd: ["https://example.com/targets"]
    http:
      method: POST
      status: [200, 204]
      body_regexp: "ok"
      max_body: 1000
      headers: {Accept: text/plain}
      headers_file: {Authorization: token}
      header_regexp: {Content-Type: json}
      body: "{}"
      follow_redirects: true
      keep_alive: true
      insecure_skip_verify: true
      ca_file: ca.pem
      server_name: example.com
      ip_version: 4
  - name: ping
    probe: icmp
    targets: ["10.0.0.1", "example.com", "fe80::1"]
    icmp: {size: 100, ip_version: 6, packets: 10, max_loss: 0}
  - name: ports
    probe: tcp
    targets: ["10.0.0.1:22", "[::1]:22", "tcp://example.com:443"]
    tcp: {ip_version: 4}
  - name: names
    probe: dns
    targets: ["10.0.0.53", "[2001:db8::1]:5353", "2001:db8::1"]
    dns: {name: example.com, type: MX, rcode: NXDOMAIN, answer_regexp: ".", transport: tcp}
  - name: ask
    probe: dns
    targets: ["example.com", "example.org"]
    dns: {server: "10.0.0.53:53"}
  - {name: certificates, probe: tls, targets: [example.com, "tls://example.com:8443"], tls: {min_validity: 336h}}
  - {name: health, probe: grpc, targets: ["10.0.0.9:50051", "grpcs://example.com:443"], grpc: {service: shop}}
  - name: model
    probe: llm
    targets: ["https://llm.example.com/v1", "10.0.0.9:8000"]
    http: {headers: {OpenAI-Organization: x}}
    llm: {model: m, prompt: "Hi", max_tokens: 8, token_limit_field: max_completion_tokens, api_key_env: KEY, omit_usage: true,
      budget: {tokens_per_hour: 10000, tokens_per_day: 100000}}
`

func TestCompleteConfig(t *testing.T) {
	var c Config
	if err := yamlconf.LoadBytes("agent.yml", []byte(complete), &c); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if j := c.withDefaults(c.Jobs[1]); j.Interval != time.Second || j.Timeout != 900*time.Millisecond {
		t.Errorf("%v %v", j.Interval, j.Timeout)
	}
	if j := (Config{}).withDefaults(Job{Interval: 10 * time.Second}); j.Timeout != 9*time.Second {
		t.Errorf("timeout %v", j.Timeout)
	}
	if j := c.withDefaults(c.Jobs[7]); j.Interval != time.Minute || j.Timeout != 54*time.Second {
		t.Errorf("a probe that costs tokens inherits the interval: %v %v", j.Interval, j.Timeout)
	}
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("nothing to probe is no mistake: %v", err)
	}
}

func TestConfigMistakesAllAtOnceWithPositions(t *testing.T) {
	const text = `probe:
  interval: 1ms
  control: ["10.0.0.1:53", "tcp://10.0.0.1", "dns://10.0.0.1"]
  jobs:
    - name: web
      probe: http
      timeout: 65s
      labels: {phase: x, "a-b": y}
      targets: ["ftp://x/", "http://x:99999/"]
      http: {status: [200, 42], body_regexp: "(", method: "G T", ip_version: 5, headers: {"A B": c}}
    - name: web
      probe: tpc
      file_sd: [targets.txt]
    - probe: dns
      targets: ["10.0.0.1"]
      dns: {type: X, rcode: Y, transport: z, answer_regexp: "("}
    - name: empty
      probe: icmp
      icmp: {size: 1}
    - name: slow
      probe: tcp
      targets: [nohost]
      timeout: 100us
    - name: model
      probe: llm
      targets: ["ftp://x/"]
      http: {status: [200], keep_alive: true}
      llm: {max_tokens: -1, token_limit_field: x, api_key_file: a, api_key_env: b,
        budget: {tokens_per_hour: -1, tokens_per_day: 10}}
    - name: round
      probe: icmp
      targets: [x]
      icmp: {packets: 200, max_loss: 1}
    - {name: cert, probe: tls, targets: ["https://x"], tls: {min_validity: -1h}}
    - {name: health, probe: grpc, targets: [x], http: {header_regexp: {A: "("}, headers_file: {"a b": c}}}
`
	doc, err := yamlconf.One("agent.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var root struct {
		Probe Config `yaml:"probe"`
	}
	if err := doc.Decode(&root); err != nil {
		t.Fatal(err)
	}
	got := root.Probe.Check(doc, "probe").Error()
	for _, want := range []string{
		"agent.yml:2:13: probe.interval: must lie within 10ms and 24h, got 1ms",
		`agent.yml:3:13: probe.control[0]: must be tcp://host:port`,
		`probe.control[1]: tcp target must be host:port: address 10.0.0.1: missing port in address, got "10.0.0.1"`,
		`probe.control[2]: must be dns://server/name`,
		`probe.jobs[0].labels.phase: is set by the prober`,
		`probe.jobs[0].labels: not a label name (letters, digits and _, not first a digit or __), got "a-b"`,
		`agent.yml:9:17: probe.jobs[0].targets[0]: http target must be a URL like https://host/path, got "ftp://x/"`,
		`probe.jobs[0].targets[1]: `,
		`agent.yml:10:28: probe.jobs[0].http.status[1]: must lie within 200 and 599, got 42`,
		"probe.jobs[0].http.body_regexp: error parsing regexp: missing closing ): `(`",
		`probe.jobs[0].http.method: is not a method that can be probed with, got "G T"`,
		`probe.jobs[0].http.ip_version: must be 4 or 6, got 5`,
		`probe.jobs[0].http.headers: not a valid header: "A B: c"`,
		`agent.yml:11:13: probe.jobs[1].name: is used by two jobs, got "web"`,
		`probe.jobs[1].probe: must be one of dns, grpc, http, icmp, llm, tcp, tls, got "tpc"`,
		`probe.jobs[1].file_sd[0]: targets file must end in .json, .yml or .yaml, got "targets.txt"`,
		`probe.jobs[2].name: is missing`,
		`probe.jobs[2].dns.name: give either dns.name`,
		`probe.jobs[2].dns.type: must be one of A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT, got "X"`,
		`probe.jobs[2].dns.rcode: must be one of NOERROR`,
		`probe.jobs[2].dns.transport: must be udp or tcp, got "z"`,
		`probe.jobs[3].targets: the job has no targets, file_sd or http_sd`,
		`probe.jobs[3].icmp.size: must lie within 16 and 65000 bytes, got 1`,
		`probe.jobs[4].targets[0]: tcp target must be host:port`,
		`probe.jobs[4].timeout: must be at least 1ms, got 100µs`,
		`agent.yml:26:17: probe.jobs[5].targets[0]: http target must be a URL`,
		`agent.yml:27:22: probe.jobs[5].http.status: has no meaning for probe: llm; leave it out`,
		`agent.yml:27:41: probe.jobs[5].http.keep_alive: has no meaning`,
		`probe.jobs[5].llm.model: is missing: name the model to ask`,
		`agent.yml:28:25: probe.jobs[5].llm.max_tokens: must lie within 1 and 100000, got -1`,
		`agent.yml:28:48: probe.jobs[5].llm.token_limit_field: must be max_tokens or max_completion_tokens, got "x"`,
		`probe.jobs[5].llm.api_key_env: give api_key_file or api_key_env, not both`,
		`agent.yml:29:35: probe.jobs[5].llm.budget.tokens_per_hour: must be at least 0, got -1`,
		`agent.yml:29:55: probe.jobs[5].llm.budget.tokens_per_day: is less than one request may use`,
		`agent.yml:33:23: probe.jobs[6].icmp.packets: must be at least 1, with 10ms between two: 1 at an interval of 1ms, got 200`,
		`agent.yml:33:38: probe.jobs[6].icmp.max_loss: must be at least 0 and below 1, got 1`,
		`probe.jobs[7].targets[0]: tls target must be host:port`,
		`probe.jobs[7].tls.min_validity: must be at least 0, got -1h`,
		`probe.jobs[8].targets[0]: grpc target must be host:port`,
		"probe.jobs[8].http.header_regexp.A: error parsing regexp: missing closing ): `(`",
		`probe.jobs[8].http.headers_file: not a header's name and a file: "a b: c"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if err := root.Probe.Validate(); err == nil || strings.Count(err.Error(), "\n") < 20 {
		t.Errorf("Validate: %v", err)
	}
}

func TestTimeoutBeyondWhatMayBeInFlight(t *testing.T) {
	c := Config{InFlight: 4, Jobs: []Job{{Name: "a", Probe: "tcp", Targets: []string{"x:1"}, Timeout: 5 * time.Second}}}
	const want = "jobs[0].timeout: would keep more than 4 attempts of a target under way (in_flight); at an interval of 1s it can be 4s, got 5s"
	if err := c.Validate(); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestPasswordsStayOutOfLabels(t *testing.T) {
	sp, err := compileTarget(Config{}.withDefaults(Job{Name: "x", Probe: "http"}), at("http://me:secret@example.com/x"), env{})
	if err != nil {
		t.Fatal(err)
	}
	if got := sp.labels.String(); strings.Contains(got, "secret") || sp.labels.Get("target") != "http://me:xxxxx@example.com/x" {
		t.Error(got)
	}
}
