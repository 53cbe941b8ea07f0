package probe

import (
	"maps"
	"slices"
	"time"
)

// Config says what is probed and how often. Zero values take the defaults
// named here.
type Config struct {
	// Interval between the starts of a target's attempts; 1s.
	Interval time.Duration `yaml:"interval,omitempty"`
	// Timeout of an attempt; 0.9 of the interval. It may exceed the interval.
	Timeout time.Duration `yaml:"timeout,omitempty"`
	// InFlight bounds the attempts of one target that are under way; 64. An
	// attempt beyond it fails with the reason overrun.
	InFlight int `yaml:"in_flight,omitempty"`
	// Control names targets outside what is judged, as tcp://host:port,
	// icmp://host, http://…, https://… or dns://server/name?type=A. When all of
	// them fail, this prober is offline and blames no target.
	Control []string `yaml:"control,omitempty"`
	// Jobs are the groups of targets.
	Jobs []Job `yaml:"jobs,omitempty"`
}

// Job is a group of targets that are probed alike.
type Job struct {
	// Name becomes the label job; unique.
	Name string `yaml:"name"`
	// Probe is icmp, tcp, tls, http, grpc, dns or llm. A target's label __probe overrides it.
	Probe string `yaml:"probe"`
	// Interval and Timeout override those of Config. A job with probe: llm, which
	// costs tokens, does not inherit them: its interval is 60s where it names none.
	Interval time.Duration `yaml:"interval,omitempty"`
	Timeout  time.Duration `yaml:"timeout,omitempty"`
	// Labels are added to every series of the job's targets; labels of a target
	// go before them.
	Labels map[string]string `yaml:"labels,omitempty"`
	// Targets are addresses: URLs for http (http:// is assumed), host:port for
	// tcp, tls (port 443 is assumed) and grpc (grpcs:// for TLS), a host for icmp, the base URL of an API for llm, and for dns the servers to ask, or, where dns.server
	// is set, the names to ask for.
	Targets []string `yaml:"targets,omitempty"`
	// FileSD are Prometheus file_sd files (globs allowed in the last element),
	// re-read on change; relative paths start at the configuration's directory.
	FileSD []string `yaml:"file_sd,omitempty"`
	// HTTPSD are Prometheus http_sd URLs, asked every minute.
	HTTPSD []string `yaml:"http_sd,omitempty"`

	ICMP ICMP `yaml:"icmp,omitempty"`
	TCP  TCP  `yaml:"tcp,omitempty"`
	HTTP HTTP `yaml:"http,omitempty"`
	DNS  DNS  `yaml:"dns,omitempty"`
	LLM  LLM  `yaml:"llm,omitempty"`
	TLS  TLS  `yaml:"tls,omitempty"`
	GRPC GRPC `yaml:"grpc,omitempty"`
}

// LLM configures requests to language models: streaming chat completions of
// OpenAI's API, POST <target>/chat/completions. Of HTTP, the certificates
// (ca_file, server_name, insecure_skip_verify), headers, max_body and ip_version
// hold for them too.
type LLM struct {
	// Model to ask; required.
	Model string `yaml:"model,omitempty"`
	// Prompt is the one message sent; "Count from one to ten.".
	Prompt string `yaml:"prompt,omitempty"`
	// MaxTokens bounds the answer; 16.
	MaxTokens int64 `yaml:"max_tokens,omitempty"`
	// TokenLimitField is the request's field for MaxTokens: max_tokens, or
	// max_completion_tokens, which some models want.
	TokenLimitField string `yaml:"token_limit_field,omitempty"`
	// APIKeyFile or APIKeyEnv names where the key lies that is sent as
	// "Authorization: Bearer"; read before each attempt. None is sent without.
	APIKeyFile string `yaml:"api_key_file,omitempty"`
	APIKeyEnv  string `yaml:"api_key_env,omitempty"`
	// OmitUsage leaves out stream_options, for servers that refuse it. Tokens are
	// then the pieces of text that came.
	OmitUsage bool `yaml:"omit_usage,omitempty"`
	// Budget bounds what all targets of the job use together.
	Budget TokenBudget `yaml:"budget,omitempty"`
}

// TokenBudget bounds tokens, those of prompts included, in hours and days of
// UTC; 0 is no bound. What is used up misses attempts, it fails none.
type TokenBudget struct {
	TokensPerHour int64 `yaml:"tokens_per_hour,omitempty"`
	TokensPerDay  int64 `yaml:"tokens_per_day,omitempty"`
}

// ICMP configures echo requests.
type ICMP struct {
	// Size of the payload in bytes; 56. At least 16.
	Size int `yaml:"size,omitempty"`
	// IPVersion is 4 or 6; 0 takes what the name resolves to, IPv4 first.
	IPVersion int `yaml:"ip_version,omitempty"`
	// Packets of an attempt, spread evenly over the interval; 1. Each is waited
	// for as long as the job's timeout says.
	Packets int `yaml:"packets,omitempty"`
	// MaxLoss is the share of packets that a successful attempt may lose, from 0
	// to below 1; 0.5.
	MaxLoss *float64 `yaml:"max_loss,omitempty"`
}

// roundTimeout is how long an attempt of several packets may take: the target's
// name is found, the last packet is sent, and it is waited for.
func (o ICMP) roundTimeout(interval, timeout time.Duration) time.Duration {
	return interval - interval/time.Duration(o.Packets) + 2*timeout
}

// TLS configures handshakes. Of HTTP, the certificates (ca_file, server_name,
// insecure_skip_verify) and ip_version hold for them too.
type TLS struct {
	// MinValidity fails attempts when a certificate shown ends sooner; 0 is never.
	MinValidity time.Duration `yaml:"min_validity,omitempty"`
}

// GRPC configures calls of grpc.health.v1.Health/Check. Of HTTP, the
// certificates (ca_file, server_name, insecure_skip_verify) and ip_version hold
// for them too.
type GRPC struct {
	// Service to ask for; empty asks for the server as a whole.
	Service string `yaml:"service,omitempty"`
}

// TCP configures connection attempts.
type TCP struct {
	// IPVersion is 4 or 6; 0 takes either.
	IPVersion int `yaml:"ip_version,omitempty"`
}

// Files returns the files that jobs read when the configuration is, as they are
// named there.
func (c Config) Files() []string {
	var files []string
	add := func(file string) {
		if file != "" {
			files = append(files, file)
		}
	}
	for _, j := range c.Jobs {
		add(j.HTTP.CAFile)
		add(j.HTTP.BodyFile)
		for _, n := range slices.Sorted(maps.Keys(j.HTTP.HeadersFile)) {
			add(j.HTTP.HeadersFile[n])
		}
	}
	return files
}

// HTTP configures requests. A request reaches its target at most once an
// attempt: it is never repeated, and no proxy is used.
type HTTP struct {
	// Method; GET.
	Method string `yaml:"method,omitempty"`
	// Status lists the codes that mean success; any 2xx where empty.
	Status []int `yaml:"status,omitempty"`
	// BodyRegexp must match the first MaxBody bytes of the body, where given.
	BodyRegexp string `yaml:"body_regexp,omitempty"`
	// MaxBody bounds what is read of a body in bytes; 1048576. A longer body is
	// no failure.
	MaxBody int64 `yaml:"max_body,omitempty"`
	// HeaderRegexp must match the answer's headers of these names, where given;
	// several of one name are joined by ", ", and one that is missing is empty.
	HeaderRegexp map[string]string `yaml:"header_regexp,omitempty"`
	// Headers are sent with the request. Host replaces the URL's host there.
	Headers map[string]string `yaml:"headers,omitempty"`
	// HeadersFile are headers whose values are secret, by the files that hold
	// them, read when the configuration is. They are sent to no other host.
	HeadersFile map[string]string `yaml:"headers_file,omitempty"`
	// Body is sent with the request.
	Body string `yaml:"body,omitempty"`
	// BodyFile holds a secret body, which is sent as it is, and read when the
	// configuration is. It is sent to no other host; 1048576 bytes at most.
	BodyFile string `yaml:"body_file,omitempty"`
	// FollowRedirects follows up to ten redirects, all within the timeout. Else
	// a redirect's own status is judged.
	FollowRedirects bool `yaml:"follow_redirects,omitempty"`
	// KeepAlive reuses the connection of the last attempt, so that phases dns,
	// connect and tls are measured only when a connection is made.
	KeepAlive bool `yaml:"keep_alive,omitempty"`
	// InsecureSkipVerify accepts any certificate. Its expiry is reported still.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify,omitempty"`
	// CAFile holds PEM certificates to trust instead of the system's; relative
	// paths start at the configuration's directory.
	CAFile string `yaml:"ca_file,omitempty"`
	// ServerName replaces the URL's host in the TLS handshake.
	ServerName string `yaml:"server_name,omitempty"`
	// IPVersion is 4 or 6; 0 takes either.
	IPVersion int `yaml:"ip_version,omitempty"`
}

// DNS configures queries. Exactly one of Name (targets are servers) and Server
// (targets are names) is given.
type DNS struct {
	// Name to ask every target for.
	Name string `yaml:"name,omitempty"`
	// Server to ask for every target, as host or host:port.
	Server string `yaml:"server,omitempty"`
	// Type of the query; A. One of A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT.
	Type string `yaml:"type,omitempty"`
	// RCode that means success; NOERROR.
	RCode string `yaml:"rcode,omitempty"`
	// AnswerRegexp must match one of the answers (an address, a name, a text)
	// where given.
	AnswerRegexp string `yaml:"answer_regexp,omitempty"`
	// Transport is udp or tcp; udp. A truncated answer over udp is judged by its
	// code and what it holds.
	Transport string `yaml:"transport,omitempty"`
}

const (
	defaultInterval = time.Second
	defaultInFlight = 64
	// llmInterval is the interval of llm jobs that name none.
	llmInterval = time.Minute
	minInterval = 10 * time.Millisecond
	maxInterval = 24 * time.Hour
)

// withDefaults returns the job with what it inherits or leaves out filled in.
func (c Config) withDefaults(j Job) Job {
	c = c.timesFor(j)
	j.Interval = first(j.Interval, c.Interval, defaultInterval)
	j.Timeout = first(j.Timeout, c.Timeout, j.Interval*9/10)
	j.ICMP.Size = first(j.ICMP.Size, 56)
	j.ICMP.Packets = first(j.ICMP.Packets, 1)
	half := 0.5
	j.ICMP.MaxLoss = first(j.ICMP.MaxLoss, &half)
	j.HTTP.Method = first(j.HTTP.Method, "GET")
	j.HTTP.MaxBody = first(j.HTTP.MaxBody, 1<<20)
	j.DNS.Type = first(j.DNS.Type, "A")
	j.DNS.RCode = first(j.DNS.RCode, "NOERROR")
	j.DNS.Transport = first(j.DNS.Transport, "udp")
	j.LLM.Prompt = first(j.LLM.Prompt, "Count from one to ten.")
	j.LLM.MaxTokens = first(j.LLM.MaxTokens, 16)
	j.LLM.TokenLimitField = first(j.LLM.TokenLimitField, "max_tokens")
	return j
}

// timesFor returns the configuration with the times that the job inherits.
func (c Config) timesFor(j Job) Config {
	if j.Probe == "llm" {
		c.Interval, c.Timeout = llmInterval, 0
	}
	return c
}

// first returns the first value that is not zero, or zero.
func first[T comparable](vs ...T) T {
	var zero T
	for _, v := range vs {
		if v != zero {
			return v
		}
	}
	return zero
}

func (c Config) inFlight() int { return first(c.InFlight, defaultInFlight) }
