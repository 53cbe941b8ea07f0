package probe

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"
)

// stream is what one streamed answer of a language model shows.
type stream struct {
	start       time.Time // of the attempt
	first, last time.Time // of the pieces of text so far
	pieces      int64     // chunks that carried text
	gaps        []time.Duration
	reasoned    bool // the model's reasoning was among the text
	finish      finish
	usage       *usage
}

// usage is what an endpoint says was used.
type usage struct {
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	Details    struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

// chunk is one event of a stream.
type chunk struct {
	Choices []struct {
		Index int `json:"index"`
		Delta struct {
			Content string `json:"content"`
			Refusal string `json:"refusal"`
			// What servers call the text of a model that thinks first.
			ReasoningContent string          `json:"reasoning_content"`
			Reasoning        string          `json:"reasoning"`
			ToolCalls        json.RawMessage `json:"tool_calls"`
		} `json:"delta"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage *usage    `json:"usage"`
	Error *apiError `json:"error"`
}

func newStream(start time.Time) *stream { return &stream{start: start} }

// read reads an answer to its end, and says why it is none.
func (s *stream) read(resp *http.Response) (reason, error) {
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/event-stream" {
		return reasonMalformed, fmt.Errorf("answered with %q instead of a stream of events", kind)
	}
	events := newSSEReader(bufio.NewReader(resp.Body))
	for {
		data, err := events.next()
		now := time.Now()
		switch {
		case isEnd(err):
			return s.ended(false)
		case errors.Is(err, errLongEvent), errors.Is(err, errTooLong):
			return reasonMalformed, fmt.Errorf("read stream: %w", err)
		case err != nil:
			return reasonCut, fmt.Errorf("read stream after %d pieces of text: %w", s.pieces, err)
		case string(data) == "[DONE]":
			return s.ended(true)
		}
		if why, err := s.take(data, now); err != nil {
			return why, err
		}
	}
}

// take deals with one event.
func (s *stream) take(data []byte, now time.Time) (reason, error) {
	var c chunk
	if err := json.Unmarshal(data, &c); err != nil {
		return reasonMalformed, fmt.Errorf("read stream: an event is no chunk of a completion: %w", err)
	}
	if c.Error != nil {
		return c.Error.inStream(), fmt.Errorf("the stream ends with an error: %s", c.Error.text())
	}
	if c.Usage != nil {
		if c.Usage.Prompt < 0 || c.Usage.Completion < 0 || c.Usage.Details.Reasoning < 0 {
			return reasonMalformed, errors.New("read stream: usage is below zero")
		}
		s.usage = c.Usage
	}
	for _, choice := range c.Choices {
		if choice.Index != 0 {
			continue
		}
		d := choice.Delta
		thought := d.ReasoningContent != "" || d.Reasoning != ""
		if thought || d.Content != "" || d.Refusal != "" || len(d.ToolCalls) > 0 && string(d.ToolCalls) != "null" {
			s.reasoned = s.reasoned || thought
			s.piece(now)
		}
		if choice.FinishReason != "" {
			s.finish = finishOf(choice.FinishReason)
		}
	}
	return 0, nil
}

// piece notes that text came.
func (s *stream) piece(now time.Time) {
	if s.pieces == 0 {
		s.first = now
	} else {
		s.gaps = append(s.gaps, now.Sub(s.last))
	}
	s.last = now
	s.pieces++
}

// ended judges a stream that came to its end; done says that it said so.
func (s *stream) ended(done bool) (reason, error) {
	switch {
	case s.finish == finishFilter:
		return reasonContentFilter, errors.New("the endpoint's content filter ended the answer")
	case !done && s.finish == finishNone:
		return reasonCut, fmt.Errorf("the stream stops after %d pieces of text, before its end", s.pieces)
	case s.pieces == 0:
		return reasonEmpty, errors.New("the answer holds no text")
	}
	return 0, nil
}

func (s *stream) ttft() time.Duration { return s.first.Sub(s.start) }

// tokens returns how many tokens of the answer were streamed: what the endpoint
// says, without reasoning that it keeps to itself; else the pieces of text.
func (s *stream) tokens() int64 {
	if s.usage == nil || s.usage.Completion == 0 {
		return s.pieces
	}
	if !s.reasoned {
		return max(0, s.usage.Completion-s.usage.Details.Reasoning)
	}
	return s.usage.Completion
}

// fill notes in r what was measured.
func (s *stream) fill(r *result) {
	r.finish, r.gaps = s.finish, s.gaps
	if s.usage != nil {
		r.figures[figurePromptTokens] = float64(s.usage.Prompt)
	}
	if s.pieces == 0 {
		return
	}
	r.figures[figureTTFT], _ = seconds(s.ttft())
	r.figures[figureCompletionTokens] = float64(s.pieces)
	if s.usage != nil && s.usage.Completion > 0 {
		r.figures[figureCompletionTokens] = float64(s.usage.Completion)
	}
	if span := s.last.Sub(s.first); span > 0 && s.tokens() > 1 {
		r.figures[figureTokenRate] = float64(s.tokens()-1) / span.Seconds()
	}
}

// used returns the tokens to count against a budget. An answer that was given
// up may go on being made, and costs what it may cost.
func (s *stream) used(o LLM, whole bool) int64 {
	switch {
	case s.usage != nil && (s.usage.Prompt > 0 || s.usage.Completion > 0):
		return s.usage.Prompt + max(s.usage.Completion, s.pieces)
	case whole:
		return o.most() - o.MaxTokens + s.pieces
	}
	return o.most()
}
