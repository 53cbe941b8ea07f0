package probe

import "math"

// figure is a gauge that attempts of some kinds have.
type figure uint8

const (
	// figureTTFT: from the start of the attempt, connection included, to the
	// first token, in seconds. Of failed attempts too, where a token came.
	figureTTFT figure = iota
	// figureTokenRate: tokens after the first one, by the time from the first to
	// the last.
	figureTokenRate
	// figurePromptTokens and figureCompletionTokens are what the answer says was
	// used, or, of the completion, the pieces of text counted.
	figurePromptTokens
	figureCompletionTokens
	// figureRetryAfter: what the target asked to wait, in seconds.
	figureRetryAfter
	// figureBudgetLeft: tokens that the job may still use, by the tightest of its
	// bounds.
	figureBudgetLeft
	// figureJitter: see jitter.
	figureJitter
	// figureVerified: 1 where the certificates shown lead to one that is trusted
	// and name the target, else 0. figureTLSVersion: 1.2, 1.3.
	figureVerified
	figureTLSVersion
	// figureGRPCStatus: the code of the answer, 0 for OK.
	figureGRPCStatus
	numFigures
)

var figureNames = [numFigures]string{
	"probe_llm_ttft_seconds", "probe_llm_tokens_per_second", "probe_llm_prompt_tokens", "probe_llm_completion_tokens",
	"probe_llm_retry_after_seconds", "probe_llm_budget_left_tokens",
	"probe_jitter_seconds", "probe_tls_verified", "probe_tls_version", "probe_grpc_status",
}

// figures are the values of an attempt; NaN where not measured.
type figures [numFigures]float64

func noFigures() figures {
	var f figures
	for i := range f {
		f[i] = math.NaN()
	}
	return f
}

// finish is why a language model ended its answer. The words are the values of
// the label reason of probe_llm_finish_total.
type finish uint8

const (
	finishNone finish = iota
	finishStop
	finishLength
	finishFilter
	finishTools
	finishOther
	numFinishes
)

var finishNames = [numFinishes]string{"", "stop", "length", "content_filter", "tool_calls", "other"}

func finishOf(word string) finish {
	for i, n := range finishNames {
		if n == word {
			return finish(i)
		}
	}
	return finishOther
}
