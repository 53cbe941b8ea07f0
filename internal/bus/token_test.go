package bus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A token that lives for an hour is fetched once, again after 48 minutes, and
// serves to its end while the endpoint is away.
func TestTokenIsRenewedBeforeItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetched, away := 0, false
		ts := &tokens{keep: true, turn: make(chan struct{}, 1), fetch: func(context.Context) (token, error) {
			fetched++
			if away {
				return token{}, errors.New("away")
			}
			time.Sleep(time.Second) // in the bubble: the others wait meanwhile
			return token{text: fmt.Sprint("t", fetched), began: time.Now(), ends: time.Now().Add(time.Hour)}, nil
		}}
		f := func(after time.Duration, want string, times int) {
			t.Helper()
			time.Sleep(after)
			got, err := ts.get(t.Context())
			if got != want || (err != nil) != (want == "") || fetched != times {
				t.Errorf("got %q, %v, fetched %d times, want %q, %d", got, err, fetched, want, times)
			}
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if got, err := ts.get(t.Context()); got != "t1" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
		wg.Wait()
		f(47*time.Minute, "t1", 1)
		away = true
		f(2*time.Minute, "t1", 2)
		f(0, "t1", 2) // not asked again at once
		f(10*time.Minute, "t1", 3)
		f(time.Minute, "", 4)
		away = false
		f(0, "", 4)
		f(2*time.Second, "t5", 5)

		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ts.turn <- struct{}{}
		if _, err := ts.get(late); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waited for another's turn: %v", err)
		}
	})
}

func TestParseToken(t *testing.T) {
	began := time.Unix(1_800_000_000, 0)
	f := func(status int, body, text string, life time.Duration, wantErr string) {
		t.Helper()
		got, err := parseToken(status, []byte(body), began)
		if wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), wantErr) {
				t.Errorf("%s: got %v, want %q", body, err, wantErr)
			}
			return
		}
		want := token{text: text, began: began}
		if life > 0 {
			want.ends = began.Add(life)
		}
		if err != nil || got.text != want.text || !got.ends.Equal(want.ends) {
			t.Errorf("%s: got ends %s, %v", body, got.ends, err)
		}
	}
	const ok = http.StatusOK
	f(ok, `{"access_token":"abc","token_type":"Bearer","expires_in":60}`, "abc", time.Minute, "")
	f(ok, `{"access_token":"abc","token_type":"bearer","expires_in":"60"}`, "abc", time.Minute, "")
	f(ok, `{"access_token":"abc","token_type":"bearer"}`, "abc", 0, "")
	f(ok, `{"access_token":"e30.eyJleHAiOjE4MDAwMDAwOTB9.x","token_type":"bearer"}`, "e30.eyJleHAiOjE4MDAwMDAwOTB9.x", 90*time.Second, "")
	f(ok, `{"access_token":"abc","token_type":"mac"}`, "", 0, `type "mac", want Bearer`)
	f(ok, `{"access_token":"a\u0001b","token_type":"bearer"}`, "", 0, "no access_token")
	f(ok, `{"token_type":"bearer"}`, "", 0, "no access_token")
	f(ok, `<html>`, "", 0, "not the JSON of a token")
	f(401, `{"error":"invalid_client","error_description":"unknown\nclient"}`, "", 0, "it answers 401: invalid_client: unknown client: are")
	f(404, `<html>`, "", 0, "it answers 404 Not Found: is sasl.oauth.token_url right?")
}

// What an endpoint sends becomes a token that fits into the message to the
// broker, or an error of one line.
func FuzzParseToken(f *testing.F) {
	f.Add(200, []byte(`{"access_token":"abc","token_type":"Bearer","expires_in":60}`))
	f.Add(200, []byte(`{"access_token":"e30.eyJleHAiOjE4MDAwMDAwOTB9.x","token_type":"bearer","expires_in":1e300}`))
	f.Add(400, []byte(`{"error":"invalid_scope\u000a"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		got, err := parseToken(status, body, time.Unix(0, 0))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("several lines: %q", err)
			}
			return
		}
		if m := appendBearer(nil, got.text, nil); strings.Count(string(m), "\x01") != 3 {
			t.Errorf("the token changes the message: %q", m)
		}
	})
}

// The messages of RFC 7628, sections 3.1 and 3.2.2.
func TestBearerMessages(t *testing.T) {
	got := string(appendBearer(nil, "vF9dft4qmT", map[string]string{"port": "143", "host": "server.example.com"}))
	if want := "n,,\x01auth=Bearer vF9dft4qmT\x01host=server.example.com\x01port=143\x01\x01"; got != want {
		t.Errorf("got %q", got)
	}
	b := &bearer{}
	s := &bearerSession{b: b}
	done, answer, err := s.Next(t.Context(), []byte(`{"status":"invalid_token","scope":"example_scope","openid-configuration":"https://example.com"}`))
	if done || string(answer) != "\x01" || err != nil || b.reason() != "invalid_token, wanted scope: example_scope" {
		t.Errorf("got %v, %q, %v, %s", done, answer, err, b.reason())
	}
	if done, _, err := s.Next(t.Context(), nil); !done || err != nil {
		t.Errorf("an empty answer: %v, %v", done, err)
	}
	if got := refusal([]byte("{")); got != "no reason given" {
		t.Errorf("got %q", got)
	}
}

func TestOAuthMistakes(t *testing.T) {
	f := func(o OAuthConfig, want ...string) {
		t.Helper()
		err := Config{Brokers: []string{"a:1"}, SASL: SASLConfig{Mechanism: "OAuthBearer", OAuth: o}}.Validate()
		if len(want) == 0 && err != nil {
			t.Errorf("got %v", err)
		}
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("got %v, want %q", err, w)
			}
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the secret is printed: %v", err)
		}
	}
	f(OAuthConfig{TokenFile: "t", Extensions: map[string]string{"logicalCluster": "lkc-1"}})
	f(OAuthConfig{TokenURL: "https://login/token", ClientID: "id", ClientSecretEnv: "E"})
	f(OAuthConfig{TokenURL: "http://127.0.0.1:1/token", ClientIDFile: "id", ClientSecret: "hunter2"})
	f(OAuthConfig{}, "sasl.oauth: give exactly one of token_file and token_url")
	f(OAuthConfig{TokenFile: "t", TokenURL: "https://x"}, "exactly one of token_file and token_url")
	f(OAuthConfig{TokenFile: "t", Scope: "s"}, "belong to token_url")
	f(OAuthConfig{TokenURL: "https://x"}, "client_id, client_id_file and client_id_env, got 0", "client_secret_file and client_secret_env, got 0")
	f(OAuthConfig{TokenURL: "http://login/token", ClientID: "id", ClientSecret: "hunter2"}, "sasl.oauth.token_url: must be https")
	f(OAuthConfig{TokenURL: "https://id:hunter2@login", ClientID: "id", ClientSecret: "hunter2"}, "must hold no user or password")
	f(OAuthConfig{TokenURL: "login", ClientID: "id", ClientSecret: "hunter2"}, "want a URL such as")
	f(OAuthConfig{TokenFile: "t", Extensions: map[string]string{"auth": "x", "a1": "x", "b": "\x01"}},
		"sasl.oauth.extensions.auth: a name", "extensions.a1: a name", `extensions.b: want printable ASCII, got "\x01"`)
	if err := (&SASLConfig{Mechanism: "oauthbearer", User: "u"}).validate(); len(err) == 0 || !strings.Contains(err[0].Error(), "takes no user") {
		t.Errorf("got %v", err)
	}
	if err := (&SASLConfig{OAuth: OAuthConfig{TokenFile: "t"}}).validate(); len(err) == 0 || !strings.Contains(err[0].Error(), "sasl.mechanism: missing") {
		t.Errorf("got %v", err)
	}
}
