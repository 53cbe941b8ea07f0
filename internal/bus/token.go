package bus

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// token is what a broker is shown.
type token struct {
	text string
	// began and ends are its life; ends is zero where nobody says.
	began, ends time.Time
}

const (
	// renewAfter is the share of a token's life after which another is fetched.
	renewAfter = 0.8
	// unknownLife is how long a token is kept whose end nobody says.
	unknownLife = 5 * time.Minute
	// failurePause keeps many connections that are made at once from asking an
	// endpoint that just failed.
	failurePause = time.Second
	// tokenTimeout bounds one request to the endpoint.
	tokenTimeout = 10 * time.Second
	// maxTokenAnswer bounds what the endpoint may send.
	maxTokenAnswer = 256 << 10
)

// due tells whether the token should be renewed, and over whether it has ended.
func (t token) due(now time.Time) bool {
	life := unknownLife
	if !t.ends.IsZero() {
		life = time.Duration(renewAfter * float64(t.ends.Sub(t.began)))
	}
	return t.text == "" || !now.Before(t.began.Add(life))
}

func (t token) over(now time.Time) bool {
	return t.text == "" || !t.ends.IsZero() && !now.Before(t.ends)
}

// tokenError says that there is no token to show; it is no fault of the broker.
type tokenError struct{ err error }

func (e *tokenError) Error() string { return "get a token for OAUTHBEARER: " + e.err.Error() }
func (e *tokenError) Unwrap() error { return e.err }

// tokens keeps the token that is shown. Whoever holds the turn may fetch; the
// others wait for it, for as long as their contexts last.
type tokens struct {
	fetch func(ctx context.Context) (token, error)
	keep  bool // what was fetched serves until it is due
	turn  chan struct{}

	held     token
	failed   error
	failedAt time.Time
}

func newTokens(o OAuthConfig) *tokens {
	t := &tokens{fetch: o.request, keep: true, turn: make(chan struct{}, 1)}
	if o.TokenFile != "" {
		t.fetch, t.keep = o.readToken, false
	}
	return t
}

// get returns a token that is valid now. One that is due is renewed; if that
// fails it serves until its end.
func (t *tokens) get(ctx context.Context) (string, error) {
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-t.turn }()
	now := time.Now()
	if t.keep && !t.held.due(now) {
		return t.held.text, nil
	}
	if err := t.renew(ctx, now); err != nil && (!t.keep || t.held.over(now)) {
		return "", err
	}
	return t.held.text, nil
}

func (t *tokens) renew(ctx context.Context, now time.Time) error {
	if t.keep && t.failed != nil && now.Sub(t.failedAt) < failurePause {
		return t.failed
	}
	got, err := t.fetch(ctx)
	t.failed, t.failedAt = err, time.Now()
	if err == nil {
		t.held = got
	}
	return err
}

// readToken reads the token's file.
func (o OAuthConfig) readToken(context.Context) (token, error) {
	b, err := os.ReadFile(o.TokenFile)
	if err != nil {
		return token{}, fmt.Errorf("read sasl.oauth.token_file: %w", err)
	}
	now := time.Now()
	t := token{text: strings.TrimSpace(string(b)), began: now, ends: expiry(string(b))}
	switch {
	case !bearerText(t.text):
		return token{}, fmt.Errorf("read sasl.oauth.token_file: no token in %s", o.TokenFile)
	case t.over(now):
		return token{}, fmt.Errorf("the token in %s (sasl.oauth.token_file) expired at %s: does what renews it still run?", o.TokenFile, day(t.ends))
	}
	return t, nil
}

// bearerText tells whether s has the form of a bearer token (RFC 6750, section
// 2.1), which holds no byte that parts the message it travels in.
func bearerText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == ',' {
			return false
		}
	}
	return s != ""
}

// expiry reads when a JSON web token ends (claim exp, RFC 7519); zero if it does
// not say, or is none. The signature is the broker's to check.
func expiry(text string) time.Time {
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Exp <= 0 || claims.Exp > 1<<40 {
		return time.Time{}
	}
	return time.Unix(int64(claims.Exp), 0)
}

// request asks the endpoint for a token.
func (o OAuthConfig) request(ctx context.Context) (token, error) {
	id, err := o.id().value()
	if err != nil {
		return token{}, err
	}
	secret, err := o.secret().value()
	if err != nil {
		return token{}, err
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if o.Scope != "" {
		form.Set("scope", o.Scope)
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return token{}, fmt.Errorf("ask sasl.oauth.token_url: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	// RFC 6749, section 2.3.1: each is form-encoded before it is joined.
	req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	began := time.Now()
	status, body, err := o.do(req)
	if err != nil {
		return token{}, fmt.Errorf("ask the token endpoint: %w", err)
	}
	t, err := parseToken(status, body, began)
	if err != nil {
		// A server may repeat what it was sent.
		return token{}, fmt.Errorf("ask the token endpoint %s: %s", o.TokenURL, strings.ReplaceAll(err.Error(), secret, hidden))
	}
	return t, nil
}

// do sends the request on a connection of its own: hours lie between two.
func (o OAuthConfig) do(req *http.Request) (status int, body []byte, err error) {
	pool, err := readCAs("sasl.oauth.ca_file", o.CAFile)
	if err != nil {
		return 0, nil, err
	}
	tr := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}}
	defer tr.CloseIdleConnections()
	c := http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // the secret goes to nobody else
	}}
	resp, err := c.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxTokenAnswer))
	if t, _, merr := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && resp.StatusCode == http.StatusOK &&
		(merr != nil || t != "application/json") {
		err = fmt.Errorf("it answers with %q instead of application/json: is sasl.oauth.token_url right?", oneLine(t))
	}
	return resp.StatusCode, body, err
}

// parseToken reads the endpoint's answer (RFC 6749, sections 5.1 and 5.2) to a
// request sent at began.
func parseToken(status int, body []byte, began time.Time) (token, error) {
	var a struct {
		AccessToken string      `json:"access_token"`
		TokenType   string      `json:"token_type"`
		ExpiresIn   json.Number `json:"expires_in"`
		Error       string      `json:"error"`
		Description string      `json:"error_description"`
	}
	err := json.Unmarshal(body, &a)
	if status != http.StatusOK {
		why := strings.Trim(a.Error+": "+a.Description, ": ")
		if why == "" {
			return token{}, fmt.Errorf("it answers %d %s: is sasl.oauth.token_url right?", status, http.StatusText(status))
		}
		return token{}, fmt.Errorf("it answers %d: %s: are sasl.oauth.client_id, client_secret and scope right?", status, oneLine(why))
	}
	switch {
	case err != nil:
		return token{}, errors.New("its answer is not the JSON of a token: is sasl.oauth.token_url right?")
	case !bearerText(a.AccessToken):
		return token{}, errors.New("its answer holds no access_token")
	case !strings.EqualFold(a.TokenType, "bearer"):
		return token{}, fmt.Errorf("it gives tokens of type %q, want Bearer", oneLine(a.TokenType))
	}
	t := token{text: a.AccessToken, began: began, ends: expiry(a.AccessToken)}
	if life, err := a.ExpiresIn.Float64(); err == nil && life > 0 && life < 1<<31 {
		t.ends = began.Add(time.Duration(life * float64(time.Second)))
	}
	return t, nil
}
