// Package llm is a small server of streaming chat completions as OpenAI's API
// has them, for tests of who asks language models. What it answers is scripted
// by the name of the model that is asked for: tokens at given times, a stream
// that is cut, a refusal, or any bytes. It checks requests as strictly as the
// real ones do.
package llm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Script is what a model answers.
type Script struct {
	// Tokens are streamed one by one: the first after Wait, the others after Gap
	// each.
	Tokens    []string
	Wait, Gap time.Duration
	// Thought is streamed before the tokens, as reasoning_content.
	Thought []string
	// Hidden counts tokens of reasoning that are in the usage and not streamed.
	Hidden int
	// Finish is the finish_reason; stop where empty, none where "-".
	Finish string
	// NoDone leaves out the last event, [DONE].
	NoDone bool
	// Cut closes the connection behind the tokens.
	Cut bool
	// Hang sends nothing more behind the tokens until the client is gone.
	Hang bool
	// Event is sent as it is behind the tokens, as one event's data.
	Event string
	// Status, with Header and Body, is answered instead of a stream, where given.
	Status int
	Header map[string]string
	Body   string
}

// Server answers chat completions. It is created by New and is an http.Handler.
type Server struct {
	key    string
	models map[string]Script

	mu       sync.Mutex
	requests []Request
}

// Request is what a client asked for.
type Request struct {
	Model    string `json:"model"`
	Stream   bool   `json:"stream"`
	Messages []struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	} `json:"messages"`
	MaxTokens           int `json:"max_tokens"`
	MaxCompletionTokens int `json:"max_completion_tokens"`
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	// Header is that of the request.
	Header http.Header `json:"-"`
}

// New returns a server of the models. With a key, requests must carry it as
// "Authorization: Bearer".
func New(key string, models map[string]Script) *Server { return &Server{key: key, models: models} }

// Requests returns the requests so far that were understood.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// PromptTokens is what every prompt counts for in the usage.
const PromptTokens = 9

// ServeHTTP answers POST /v1/chat/completions.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/chat/completions" {
		refuse(w, http.StatusNotFound, "not_found", "no such path: "+r.URL.Path)
		return
	}
	if got := r.Header.Get("Authorization"); s.key != "" && got != "Bearer "+s.key {
		refuse(w, http.StatusUnauthorized, "invalid_api_key", "Incorrect API key provided: "+got)
		return
	}
	var q Request
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || !q.Stream || len(q.Messages) == 0 || q.MaxTokens+q.MaxCompletionTokens < 1 {
		refuse(w, http.StatusBadRequest, "invalid_request", fmt.Sprintf("not a streaming completion with a bound: %v", err))
		return
	}
	script, ok := s.models[q.Model]
	if !ok {
		refuse(w, http.StatusNotFound, "model_not_found", "there is no model "+q.Model)
		return
	}
	q.Header = r.Header
	s.mu.Lock()
	s.requests = append(s.requests, q)
	s.mu.Unlock()
	if script.Status != 0 {
		for n, v := range script.Header {
			w.Header().Set(n, v)
		}
		w.WriteHeader(script.Status)
		fmt.Fprint(w, script.Body)
		return
	}
	a := answer{w: w, flush: http.NewResponseController(w), r: r, q: q, script: script}
	a.stream()
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"message": message, "code": code, "type": "invalid_request_error"}})
}

// answer is a stream under way.
type answer struct {
	w      http.ResponseWriter
	flush  *http.ResponseController
	r      *http.Request
	q      Request
	script Script
}

func (a *answer) stream() {
	a.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	_ = a.flush.Flush()
	fmt.Fprint(a.w, ": this comment is no event\n\n")
	a.delta(map[string]any{"role": "assistant", "content": ""}, nil)
	wait := a.script.Wait
	for _, t := range a.script.Thought {
		a.pause(wait)
		a.delta(map[string]any{"reasoning_content": t}, nil)
		wait = a.script.Gap
	}
	for _, t := range a.script.Tokens {
		a.pause(wait)
		a.delta(map[string]any{"content": t}, nil)
		wait = a.script.Gap
	}
	switch {
	case a.script.Event != "":
		a.event(a.script.Event)
	case a.script.Cut:
		panic(http.ErrAbortHandler)
	case a.script.Hang:
		<-a.r.Context().Done()
		return
	}
	a.end()
}

// end sends finish reason, usage and [DONE].
func (a *answer) end() {
	switch f := a.script.Finish; f {
	case "-":
	case "":
		a.delta(map[string]any{}, "stop")
	default:
		a.delta(map[string]any{}, f)
	}
	if a.q.StreamOptions.IncludeUsage {
		n := len(a.script.Tokens) + len(a.script.Thought) + a.script.Hidden
		a.send(map[string]any{"choices": []any{}, "usage": map[string]any{
			"prompt_tokens": PromptTokens, "completion_tokens": n, "total_tokens": PromptTokens + n,
			"completion_tokens_details": map[string]int{"reasoning_tokens": len(a.script.Thought) + a.script.Hidden},
		}})
	}
	if !a.script.NoDone {
		a.event("[DONE]")
	}
}

func (a *answer) delta(d map[string]any, finish any) {
	a.send(map[string]any{"choices": []any{map[string]any{"index": 0, "delta": d, "finish_reason": finish}}})
}

func (a *answer) send(chunk map[string]any) {
	chunk["object"], chunk["model"] = "chat.completion.chunk", a.q.Model
	b, _ := json.Marshal(chunk)
	a.event(string(b))
}

func (a *answer) event(data string) {
	fmt.Fprintf(a.w, "data: %s\n\n", data)
	_ = a.flush.Flush()
}

// pause waits for d, or until the client is gone.
func (a *answer) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-a.r.Context().Done():
	case <-time.After(d):
	}
}
