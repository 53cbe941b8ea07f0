package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"nines/agent/discovery"
)

// llmProbe asks a language model one question an attempt, by the streaming chat
// completions of OpenAI's API, and times the tokens of its answer. Each attempt
// makes a connection of its own: what a first request waits for is measured.
type llmProbe struct {
	c      *job
	http   httpProbe
	url    *url.URL
	body   string
	budget *budget
	most   int64 // tokens that a request may use
}

const (
	chatPath = "chat/completions"
	// promptOverhead bounds the tokens that a chat template puts around a prompt.
	promptOverhead = 64
)

func (c *job) bindLLM(sp *spec, t discovery.Target) (shown string, err error) {
	if c.Probe != "llm" {
		return "", fmt.Errorf("%s: an llm target belongs into a job with probe: llm, which names model and prompt", t.Address)
	}
	u, err := targetURL(t)
	if err != nil {
		return "", err
	}
	shown = u.Redacted()
	if !strings.HasSuffix(u.Path, "/"+chatPath) {
		u.Path = path.Join("/", u.Path, chatPath)
	}
	body, err := c.LLM.request()
	if err != nil {
		return "", err
	}
	p := &llmProbe{
		c: c, http: httpProbe{c: c, url: u}, url: u, body: body,
		budget: c.env.budgets.of(c.Name), most: c.LLM.most(),
	}
	if _, err := p.request("x"); err != nil {
		return "", err
	}
	sp.phases = httpPhases(u)
	sp.figures = tlsFigures(u)
	for f := figureTTFT; f <= figureRetryAfter; f++ {
		sp.figures[f] = true
	}
	sp.figures[figureBudgetLeft] = c.LLM.Budget != (TokenBudget{})
	sp.probe = p.probe
	return shown, nil
}

// most returns how many tokens a request may use. A token is at least a byte
// of the prompt.
func (o LLM) most() int64 { return int64(len(o.Prompt)) + promptOverhead + o.MaxTokens }

// request returns the body of a request.
func (o LLM) request() (string, error) {
	m := map[string]any{
		"model":           o.Model,
		"messages":        []map[string]string{{"role": "user", "content": o.Prompt}},
		"stream":          true,
		o.TokenLimitField: o.MaxTokens,
	}
	if !o.OmitUsage {
		m["stream_options"] = map[string]bool{"include_usage": true}
	}
	b, err := json.Marshal(m)
	return string(b), err
}

// key reads the API key, anew for each attempt: keys are exchanged while the
// agent runs. It is "" where none is configured.
func (c *job) key() (string, error) {
	o := c.LLM
	if o.APIKeyEnv != "" {
		k := os.Getenv(o.APIKeyEnv)
		if k == "" {
			return "", fmt.Errorf("llm.api_key_env: the environment has no variable %s", o.APIKeyEnv)
		}
		return k, nil
	}
	if o.APIKeyFile == "" {
		return "", nil
	}
	k, err := readSecret(absolute(c.env.dir, o.APIKeyFile))
	if err != nil {
		return "", fmt.Errorf("llm.api_key_file: %w", err)
	}
	return k, nil
}

// readSecret returns what a file holds, without the line break at its end.
func readSecret(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	s := strings.TrimRight(string(b), "\r\n")
	if s == "" || strings.ContainsAny(s, "\r\n\x00") {
		return "", fmt.Errorf("read %s: must hold one line, the secret", file)
	}
	return s, nil
}

func (p *llmProbe) request(key string) (wireRequest, error) {
	h := map[string]string{"Accept": "text/event-stream", "Content-Type": "application/json"}
	if key != "" {
		h["Authorization"] = "Bearer " + key
	}
	maps.Copy(h, p.c.headers())
	return p.c.newRequest(p.url, http.MethodPost, p.body, h)
}

func (p *llmProbe) probe(ctx context.Context, at int64) result {
	r := newResult()
	start := time.Now()
	key, err := p.c.key()
	if err != nil {
		// Ours to mend: the target is not to blame.
		r.fail(err)
		r.local = true
		return r
	}
	bounds := p.c.LLM.Budget
	if !p.budget.take(bounds, at, p.most) {
		r.noBudget = true
	} else {
		p.budget.give(at, p.most-p.ask(ctx, start, at, key, &r))
	}
	if left, ok := p.budget.left(bounds); ok {
		r.figures[figureBudgetLeft] = float64(left)
	}
	return r
}

// ask makes the request and reads the answer into r. It returns how many tokens
// were used, or may have been.
func (p *llmProbe) ask(ctx context.Context, start time.Time, at int64, key string, r *result) int64 {
	out, err := p.request(key)
	if err != nil {
		r.fail(err)
		return 0
	}
	conn, err := p.http.connect(ctx, p.url, r)
	if err != nil {
		return 0
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	sent := time.Now()
	if _, err := conn.Write(out.bytes(p.c.env.boot, at)); err != nil {
		r.fail(fmt.Errorf("send request: %w", err))
		return 0
	}
	conn.left = maxHead + p.c.HTTP.MaxBody
	resp, err := readResponse(conn.r, http.MethodPost)
	got := time.Now()
	if err != nil {
		r.fail(fmt.Errorf("read answer: %w", err))
		return p.most
	}
	defer resp.Body.Close()
	r.phases[phaseFirstByte], r.status = got.Sub(sent), resp.StatusCode
	if resp.StatusCode != http.StatusOK {
		r.failAs(p.refusal(resp, key, r))
		return 0
	}
	s := newStream(start)
	why, err := s.read(resp)
	r.phases[phaseTransfer] = time.Since(got)
	s.fill(r)
	if err != nil {
		r.failAs(why, hide(err, key))
	} else {
		r.ok, r.latency = true, s.ttft()
	}
	return s.used(p.c.LLM, err == nil)
}

// refusal says why a target that answers does not stream.
func (p *llmProbe) refusal(resp *http.Response, key string, r *result) (reason, error) {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	var answer struct {
		Error apiError `json:"error"`
	}
	_ = json.Unmarshal(body, &answer) // what is no such error has no words for us
	if wait, ok := retryAfter(resp.Header.Get("Retry-After"), time.Now()); ok {
		r.figures[figureRetryAfter] = wait.Seconds()
	}
	err := fmt.Errorf("answered %s", resp.Status)
	if answer.Error.Message != "" {
		err = fmt.Errorf("answered %s: %s", resp.Status, answer.Error.text())
	}
	return answer.Error.refusal(resp.StatusCode), hide(err, key)
}

// hide takes the key out of an error's text: endpoints quote it.
func hide(err error, key string) error {
	if key == "" || !strings.Contains(err.Error(), key) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), key, "[key]"))
}

// apiError is an error as OpenAI's API has it. Code is a word or a number.
type apiError struct {
	Message string          `json:"message"`
	Type    string          `json:"type"`
	Code    json.RawMessage `json:"code"`
}

// UnmarshalJSON also reads an error that is its text alone.
func (e *apiError) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &e.Message)
	}
	type plain apiError
	return json.Unmarshal(b, (*plain)(e))
}

func (e *apiError) text() string {
	m := strings.Join(strings.Fields(e.Message), " ")
	return strings.ToValidUTF8(m[:min(len(m), 200)], "")
}

// says tells whether the error calls itself that.
func (e *apiError) says(word string) bool {
	return bytes.Contains(e.Code, []byte(word)) || strings.Contains(e.Type, word)
}

// refusal returns what an answer with the HTTP status and this error means.
func (e *apiError) refusal(status int) reason {
	switch {
	case e.says("content_filter"):
		return reasonContentFilter
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return reasonAuth
	case status == http.StatusTooManyRequests:
		return reasonRateLimited
	case status == http.StatusServiceUnavailable, status == 529, e.says("overloaded"):
		return reasonOverloaded
	case status/100 == 5:
		return reasonServerError
	}
	return reasonStatus
}

// inStream returns what an error within a stream means. Its code may be the
// HTTP status that came too late.
func (e *apiError) inStream() reason {
	var status int
	if json.Unmarshal(e.Code, &status) == nil && status >= 400 && status <= 599 {
		return e.refusal(status)
	}
	switch {
	case e.says("rate_limit"):
		return reasonRateLimited
	case e.says("authentication"), e.says("permission"), e.says("invalid_api_key"):
		return reasonAuth
	}
	return e.refusal(http.StatusInternalServerError)
}

// retryAfter reads the header Retry-After: seconds, or a date.
func retryAfter(header string, now time.Time) (time.Duration, bool) {
	if n, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(n) * time.Second, true
	}
	if t, err := http.ParseTime(header); err == nil {
		return max(0, t.Sub(now)), true
	}
	return 0, false
}
