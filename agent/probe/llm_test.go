package probe

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nines/test/llm"
)

func words(n int) []string { return strings.Fields(strings.Repeat("word ", n)) }

func openAI(t *testing.T, key string, models map[string]llm.Script) (*llm.Server, string) {
	t.Helper()
	s := llm.New(key, models)
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return s, srv.URL + "/v1"
}

func askModel(model string) Job { return Job{Probe: "llm", LLM: LLM{Model: model}} }

// wantFigures compares those figures that are given; NaN means not measured.
func wantFigures(t *testing.T, r result, want map[figure]float64) {
	t.Helper()
	for f, v := range want {
		if got := r.figures[f]; got != v && !(math.IsNaN(got) && math.IsNaN(v)) {
			t.Errorf("%s: got %v, want %v", figureNames[f], got, v)
		}
	}
}

func TestLLMTimesTheTokens(t *testing.T) {
	s, url := openAI(t, "", map[string]llm.Script{
		"steady": {Tokens: words(8), Wait: 80 * time.Millisecond, Gap: 15 * time.Millisecond},
	})
	start := time.Now()
	r := try(t, askModel("steady"), at(url), 5*time.Second)
	whole := time.Since(start)
	wantResult(t, r, true, 0, "")
	// A busy machine makes everything later, never earlier.
	if r.latency < 80*time.Millisecond || r.latency > whole-7*15*time.Millisecond {
		t.Errorf("time to first token %v of %v", r.latency, whole)
	}
	if len(r.gaps) != 7 {
		t.Fatalf("gaps %v", r.gaps)
	}
	var sum time.Duration
	for _, g := range r.gaps {
		sum += g
	}
	if rate := r.figures[figureTokenRate]; math.Abs(rate-7/sum.Seconds()) > 1e-6 || rate > 7/0.1 {
		t.Errorf("%v tokens a second in %v", rate, sum)
	}
	if ttft := r.figures[figureTTFT]; math.Abs(ttft-r.latency.Seconds()) > 1e-5 {
		t.Errorf("%v and %v", ttft, r.latency)
	}
	wantFigures(t, r, map[figure]float64{
		figurePromptTokens: llm.PromptTokens, figureCompletionTokens: 8, figureRetryAfter: math.NaN(), figureBudgetLeft: math.NaN()})
	if r.finish != finishStop || r.status != 200 || r.phases[phaseFirstByte] < 0 || r.phases[phaseTransfer] < 100*time.Millisecond {
		t.Errorf("%+v", r)
	}
	q := s.Requests()[0]
	if q.MaxTokens != 16 || q.Messages[0].Content != "Count from one to ten." || !q.StreamOptions.IncludeUsage ||
		q.Header.Get("Nines-Probe") != "000000000000b007-1700000000123" || q.Header.Get("Authorization") != "" {
		t.Errorf("request %+v", q)
	}
}

func TestLLMVerdicts(t *testing.T) {
	models := map[string]llm.Script{
		"good":      {Tokens: words(3)},
		"short":     {Tokens: words(3), Finish: "length"},
		"tools":     {Tokens: words(1), Finish: "tool_calls"},
		"new":       {Tokens: words(1), Finish: "a_new_reason"},
		"no-done":   {Tokens: words(3), NoDone: true},
		"no-finish": {Tokens: words(3), Finish: "-"},
		"thinks":    {Thought: words(2), Tokens: words(3)},
		"hides":     {Tokens: words(3), Hidden: 50},
		"cut":       {Tokens: words(3), Cut: true},
		"stops":     {Tokens: words(3), Finish: "-", NoDone: true},
		"empty":     {},
		"filtered":  {Tokens: words(1), Finish: "content_filter"},
		"hang":      {Tokens: words(2), Hang: true},
		"slow":      {Tokens: words(1), Wait: time.Hour},
		"broken":    {Event: `{"choices": [`},
		"number":    {Event: `7`},
		"minus":     {Event: `{"usage":{"prompt_tokens":-1}}`},
		"long":      {Event: strings.Repeat("x", maxEvent+1)},
		"fails":     {Tokens: words(1), Event: `{"error":{"message":"CUDA error","type":"server_error","code":500}}`},
		"busy":      {Tokens: words(1), Event: `{"error":{"message":"try later","type":"overloaded_error"}}`},
		"limited":   {Event: `{"error":{"message":"slow down","type":"rate_limit_exceeded"}}`},
		"word":      {Event: `{"error":"just a word"}`},
		"401":       {Status: 401},
		"403":       {Status: 403, Body: `{"error":{"message":"not for you"}}`},
		"429":       {Status: 429, Header: map[string]string{"Retry-After": "17"}, Body: `{"error":{"message":"Rate limit reached"}}`},
		"500":       {Status: 500, Body: "<html>"},
		"503":       {Status: 503, Body: `{"error":"no replica"}`},
		"529":       {Status: 529},
		"400":       {Status: 400, Body: `{"error":{"message":"blocked","code":"content_filter"}}`},
		"302":       {Status: 302, Header: map[string]string{"Location": "/elsewhere"}},
		"json":      {Status: 200, Header: map[string]string{"Content-Type": "application/json"}, Body: `{"choices":[]}`},
	}
	_, url := openAI(t, "", models)
	f := func(model string, ok bool, why reason, text string) result {
		t.Helper()
		timeout := 5 * time.Second
		if why == reasonTimeout && !ok {
			timeout = 200 * time.Millisecond
		}
		r := try(t, askModel(model), at(url), timeout)
		wantResult(t, r, ok, why, text)
		return r
	}
	f("good", true, 0, "")
	if r := f("short", true, 0, ""); r.finish != finishLength {
		t.Errorf("finish %v", r.finish)
	}
	f("tools", true, 0, "")
	if r := f("new", true, 0, ""); r.finish != finishOther {
		t.Errorf("finish %v", r.finish)
	}
	f("no-done", true, 0, "")
	f("no-finish", true, 0, "")
	if r := f("thinks", true, 0, ""); len(r.gaps) != 4 {
		t.Errorf("reasoning is text too: %v", r.gaps)
	}
	wantFigures(t, f("hides", true, 0, ""), map[figure]float64{figureCompletionTokens: 53})
	f("cut", false, reasonCut, "after 3 pieces")
	wantFigures(t, f("stops", false, reasonCut, "stops after 3 pieces"), map[figure]float64{figureCompletionTokens: 3 + 0})
	f("empty", false, reasonEmpty, "holds no text")
	f("filtered", false, reasonContentFilter, "content filter")
	f("hang", false, reasonTimeout, "")
	f("slow", false, reasonTimeout, "")
	f("broken", false, reasonMalformed, "no chunk of a completion")
	f("number", false, reasonMalformed, "no chunk of a completion")
	f("minus", false, reasonMalformed, "below zero")
	f("long", false, reasonMalformed, "")
	f("fails", false, reasonServerError, "CUDA error")
	f("busy", false, reasonOverloaded, "try later")
	f("limited", false, reasonRateLimited, "slow down")
	f("word", false, reasonServerError, "just a word")
	f("401", false, reasonAuth, "answered 401")
	f("403", false, reasonAuth, "not for you")
	wantFigures(t, f("429", false, reasonRateLimited, "Rate limit reached"), map[figure]float64{figureRetryAfter: 17})
	f("500", false, reasonServerError, "answered 500")
	f("503", false, reasonOverloaded, "no replica")
	f("529", false, reasonOverloaded, "answered 529")
	f("400", false, reasonContentFilter, "blocked")
	f("302", false, reasonStatus, "answered 302")
	f("json", false, reasonMalformed, `answered with "application/json"`)
	f("nobody", false, reasonStatus, "there is no model nobody")
	wantResult(t, try(t, askModel("good"), at("http://"+freePort(t)), 5*time.Second), false, reasonRefused, "refused")
	wantResult(t, try(t, askModel("good"), at("http://name.invalid/v1"), 5*time.Second), false, reasonDNS, "")
}

// Without usage the pieces of text are the tokens, and the request asks for
// none.
func TestLLMWithoutUsage(t *testing.T) {
	s, url := openAI(t, "", map[string]llm.Script{"m": {Tokens: words(5), Hidden: 9}})
	j := askModel("m")
	j.LLM.OmitUsage, j.LLM.TokenLimitField, j.LLM.MaxTokens, j.LLM.Prompt = true, "max_completion_tokens", 5, "Hello?"
	r := try(t, j, at(url+"/chat/completions"), 5*time.Second)
	wantResult(t, r, true, 0, "")
	wantFigures(t, r, map[figure]float64{figureCompletionTokens: 5, figurePromptTokens: math.NaN()})
	if q := s.Requests()[0]; q.StreamOptions.IncludeUsage || q.MaxTokens != 0 || q.MaxCompletionTokens != 5 || q.Messages[0].Content != "Hello?" {
		t.Errorf("request %+v", q)
	}
}

func TestLLMKeys(t *testing.T) {
	_, url := openAI(t, "sk-right", map[string]llm.Script{"m": {Tokens: words(1)}})
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("sk-wrong\n")
	j := askModel("m")
	j.LLM.APIKeyFile = file
	r := try(t, j, at(url), 5*time.Second)
	wantResult(t, r, false, reasonAuth, "Incorrect API key provided: Bearer [key]")
	if strings.Contains(fmt.Sprint(r.err), "sk-wrong") {
		t.Errorf("the key is printed: %v", r.err)
	}
	// Keys are exchanged while the agent runs; a file that cannot be read is our
	// own trouble.
	j.Name = "x"
	c, err := compileJob(Config{}.withDefaults(j), env{})
	if err != nil {
		t.Fatal(err)
	}
	sp, err := c.target(at(url))
	if err != nil {
		t.Fatal(err)
	}
	sp.timeout = 5 * time.Second
	write("sk-right")
	wantResult(t, runProbe(t.Context(), sp, 1), true, 0, "")
	write("")
	if r := runProbe(t.Context(), sp, 1); r.ok || !r.local || !strings.Contains(r.err.Error(), "must hold one line") {
		t.Errorf("%+v", r)
	}
	if _, err := compileJob(Config{}.withDefaults(j), env{}); err == nil || !strings.Contains(err.Error(), "llm.api_key_file: read ") {
		t.Errorf("compiled with an empty key: %v", err)
	}
	t.Setenv("NINES_TEST_KEY", "sk-right")
	j.LLM.APIKeyFile, j.LLM.APIKeyEnv = "", "NINES_TEST_KEY"
	wantResult(t, try(t, j, at(url), 5*time.Second), true, 0, "")
	j.LLM.APIKeyEnv = "NINES_TEST_NO_KEY"
	if _, err := compileJob(Config{}.withDefaults(j), env{}); err == nil || !strings.Contains(err.Error(), "no variable NINES_TEST_NO_KEY") {
		t.Errorf("%v", err)
	}
}

// A prober whose budget is used up misses attempts: no sample of success, no
// failure, a counter that says so, and no request.
func TestLLMBudgetMissesAttempts(t *testing.T) {
	s, url := openAI(t, "", map[string]llm.Script{"m": {Tokens: words(3)}})
	most := LLM{Prompt: "Hi", MaxTokens: 16}.most()
	j := Job{Name: "model", Probe: "llm", Interval: 20 * time.Millisecond, Timeout: time.Second, Targets: []string{url},
		LLM: LLM{Model: "m", Prompt: "Hi", Budget: TokenBudget{TokensPerDay: most + 2*(llm.PromptTokens+3)}}}
	p, b, stop := startProber(t, Config{Jobs: []Job{j}}, "", nil)
	eventually(t, "the budget is used up", func() bool {
		x, _ := b.last("probe_missed_total", "reason", "budget")
		return len(b.samples("probe_success")) >= 3 && x.v >= 5
	})
	// A reload is no way around it.
	if err := p.Reload(Config{Jobs: []Job{j}}); err != nil {
		t.Fatal(err)
	}
	before, _ := b.last("probe_missed_total", "reason", "budget")
	eventually(t, "five more", func() bool {
		x, _ := b.last("probe_missed_total", "reason", "budget")
		return x.v >= before.v+5
	})
	stop()
	// Each attempt set most aside and used 12 of it; after the third nothing as
	// long as a request is left. A midnight of UTC in between begins anew.
	n := len(s.Requests())
	if n != 3 && n != 6 || len(b.samples("probe_success")) != n {
		t.Errorf("%d requests, %d results", n, len(b.samples("probe_success")))
	}
	for _, x := range b.samples("probe_success") {
		if x.v != 1 {
			t.Errorf("a used-up budget failed: %v", x)
		}
	}
	if left, _ := b.last("probe_llm_budget_left_tokens"); left.v != float64(most-llm.PromptTokens-3) {
		t.Errorf("left %v", left)
	}
	if fs := b.samples("probe_failures_total"); len(fs) != 0 {
		t.Errorf("failures %v", fs)
	}
}

func TestLLMSeries(t *testing.T) {
	_, url := openAI(t, "", map[string]llm.Script{"m": {Tokens: words(4), Gap: time.Millisecond}})
	j := Job{Name: "model", Probe: "llm", Interval: 20 * time.Millisecond, Timeout: time.Second, Targets: []string{url},
		LLM: LLM{Model: "m"}, Labels: map[string]string{"model": "m"}}
	_, b, stop := startProber(t, Config{Jobs: []Job{j}}, "", nil)
	eventually(t, "answers", func() bool { return len(b.samples("probe_success")) >= 3 })
	stop()
	for _, name := range []string{"probe_success", "probe_latency_seconds", "probe_duration_seconds", "probe_http_status",
		"probe_llm_ttft_seconds", "probe_llm_tokens_per_second", "probe_llm_prompt_tokens", "probe_llm_completion_tokens"} {
		if _, ok := b.last(name, "probe", "llm", "target", url, "job", "model", "model", "m"); !ok {
			t.Errorf("no %s", name)
		}
	}
	n := len(b.samples("probe_success"))
	ttft, wait := b.samples("probe_latency_seconds"), b.samples("probe_duration_seconds")
	for i := range n {
		if ttft[i].v >= wait[i].v {
			t.Errorf("first token after %v of %v", ttft[i].v, wait[i].v)
		}
	}
	if x, _ := b.last("probe_llm_finish_total", "reason", "stop"); x.v != float64(n) {
		t.Errorf("%v answers stopped, of %d", x.v, n)
	}
	rtts, gaps := uint64(0), uint64(0)
	for _, x := range b.samples("probe_rtt_seconds") {
		rtts += x.h.Count
	}
	for _, x := range b.samples("probe_llm_inter_token_seconds") {
		gaps += x.h.Count
	}
	if rtts != uint64(n) || gaps != 3*uint64(n) {
		t.Errorf("%d answers have %d first tokens and %d gaps", n, rtts, gaps)
	}
	if len(b.samples("probe_llm_budget_left_tokens")) != 0 {
		t.Error("a budget without bounds is reported")
	}
}

func TestBudget(t *testing.T) {
	var b budget
	bounds := TokenBudget{TokensPerHour: 100, TokensPerDay: 150}
	f := func(at, n int64, ok bool, left int64) {
		t.Helper()
		if got := b.take(bounds, at, n); got != ok {
			t.Errorf("take(%d, %d): %v", at, n, got)
		}
		if got, bounded := b.left(bounds); got != left || !bounded {
			t.Errorf("left %d, want %d", got, left)
		}
	}
	const day = 20_000 * dayMS
	f(day, 60, true, 40)
	f(day+1, 60, false, 40)
	b.give(day, 50) // it used 10
	f(day+2, 60, true, 30)
	f(day+hourMS, 60, true, 20) // a new hour; the day holds 130
	b.give(day+2, 60)           // what an earlier hour set aside is the day's alone
	f(day+hourMS, 30, true, 10)
	f(day+hourMS-1, 20, false, 10) // the clock steps back: no new window
	f(day+dayMS, 100, true, 0)
	b.give(day+dayMS, -5) // more than was set aside
	f(day+dayMS+1, 1, false, 0)
	if _, bounded := b.left(TokenBudget{}); bounded || !b.take(TokenBudget{}, day, 1<<40) {
		t.Error("no bound is one")
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	f := func(header string, want time.Duration, ok bool) {
		t.Helper()
		if got, is := retryAfter(header, now); got != want || is != ok {
			t.Errorf("%q: %v %v", header, got, is)
		}
	}
	f("0", 0, true)
	f("120", 2*time.Minute, true)
	f("Sun, 22 Nov 2026 10:00:30 GMT", 30*time.Second, true)
	f("Sun, 22 Nov 2026 09:00:30 GMT", 0, true)
	f("", 0, false)
	f("-1", 0, false)
	f("1m", 0, false)
	f("99999999999999999999", 0, false)
}

// A prober that stops while a model answers leaves nothing behind and fails
// nobody.
func TestLLMStopsInTheMiddle(t *testing.T) {
	_, url := openAI(t, "", map[string]llm.Script{"m": {Tokens: words(1), Hang: true}})
	c, err := compileJob(Config{}.withDefaults(Job{Name: "x", Probe: "llm", LLM: LLM{Model: "m"}}), env{})
	if err != nil {
		t.Fatal(err)
	}
	sp, err := c.target(at(url))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan result)
	go func() { done <- runProbe(ctx, sp, 1) }()
	cancel()
	select {
	case r := <-done:
		if r.ok {
			t.Errorf("%v", r)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
}

func TestLLMStreamOverTLS(t *testing.T) {
	s := llm.New("", map[string]llm.Script{"m": {Tokens: words(2)}})
	srv := httptest.NewTLSServer(http.Handler(s))
	defer srv.Close()
	j := askModel("m")
	wantResult(t, try(t, j, at(srv.URL+"/v1"), 5*time.Second), false, reasonCertUntrusted, "certificate")
	j.HTTP.InsecureSkipVerify = true
	r := try(t, j, at(srv.URL+"/v1"), 5*time.Second)
	wantResult(t, r, true, 0, "")
	if r.expiry.IsZero() || r.phases[phaseTLS] <= 0 {
		t.Errorf("%+v", r)
	}
}
