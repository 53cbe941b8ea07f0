package probe

import "net/http"

// validateLLM checks what a job says of language models. j has its defaults.
func validateLLM(e *complaints, path string, j Job) {
	if j.Probe != "llm" {
		return
	}
	o := j.LLM
	at := path + "llm."
	if o.Model == "" {
		e.add(at+"model", "is missing: name the model to ask")
	}
	if o.MaxTokens < 1 || o.MaxTokens > 100_000 {
		e.add(at+"max_tokens", "must lie within 1 and 100000, got %d", o.MaxTokens)
	}
	if f := o.TokenLimitField; f != "max_tokens" && f != "max_completion_tokens" {
		e.add(at+"token_limit_field", "must be max_tokens or max_completion_tokens, got %q", f)
	}
	if o.APIKeyFile != "" && o.APIKeyEnv != "" {
		e.add(at+"api_key_env", "give api_key_file or api_key_env, not both")
	}
	checkBound(e, at+"budget.tokens_per_hour", o, o.Budget.TokensPerHour)
	checkBound(e, at+"budget.tokens_per_day", o, o.Budget.TokensPerDay)
	h := j.HTTP
	for _, f := range []struct {
		name string
		used bool
	}{
		{"method", h.Method != http.MethodGet}, {"status", h.Status != nil}, {"body_regexp", h.BodyRegexp != ""},
		{"body", h.Body != ""}, {"follow_redirects", h.FollowRedirects}, {"keep_alive", h.KeepAlive},
	} {
		if f.used {
			e.add(path+"http."+f.name, "has no meaning for probe: llm; leave it out")
		}
	}
}

// checkBound checks one bound of a budget, which must hold a request.
func checkBound(e *complaints, path string, o LLM, bound int64) {
	switch {
	case bound < 0:
		e.add(path, "must be at least 0, got %d", bound)
	case bound > 0 && bound < o.most():
		e.add(path, "is less than one request may use (%d tokens: the prompt's bytes, %d, and max_tokens), got %d",
			o.most(), promptOverhead, bound)
	}
}
