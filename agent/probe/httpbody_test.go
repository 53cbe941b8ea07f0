package probe

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A secret body reaches the target byte for byte, follows a redirect within its
// host and none to another, and is in no error.
func TestHTTPBodyOfAFile(t *testing.T) {
	const secret = "{\"user\": \"probe\", \"password\": \"pa55-w0rd\"}\r\n"
	show := func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %d %t", r.Method, len(b), string(b) == secret)
	}
	away := httptest.NewServer(http.HandlerFunc(show))
	defer away.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/", show)
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, away.URL, http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/within", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusPermanentRedirect) })
	mux.HandleFunc("/denied", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusForbidden)
		w.Write(b) // a server that says what it was told
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "login.json"), []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(path, body string, ok bool, text string) {
		t.Helper()
		o := HTTP{Method: "POST", BodyFile: filepath.Join(dir, "login.json"), BodyRegexp: body, FollowRedirects: true}
		r := try(t, Job{HTTP: o}, at(srv.URL+path), 5*time.Second)
		wantResult(t, r, ok, reasonStatus, text)
		if strings.Contains(fmt.Sprintf("%+v", r), "pa55") {
			t.Errorf("the secret is in what is told: %+v", r)
		}
	}
	whole := fmt.Sprintf("^POST %d true$", len(secret))
	f("/", whole, true, "")
	f("/within", whole, true, "")
	f("/away", "^POST 0 false$", true, "")
	f("/away", whole, false, "body does not match")
	f("/denied", "", false, "403")
}

func TestHTTPBodyFilesThatAreWrong(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, "long")
	if err := os.WriteFile(long, make([]byte, maxBodyFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(o HTTP, want string) {
		t.Helper()
		c := Config{Jobs: []Job{{Name: "x", Probe: "http", Targets: []string{"http://127.0.0.1:1/"}, HTTP: o}}}
		err := c.Validate()
		if err == nil {
			_, err = compileJob(c.withDefaults(c.Jobs[0]), env{dir: dir})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	f(HTTP{BodyFile: "none"}, "http.body_file: open "+dir+"/none: no such file")
	f(HTTP{BodyFile: "long"}, "http.body_file: read "+long+": more than 1048576 bytes")
	f(HTTP{BodyFile: "long", Body: "x"}, "body_file: give body or body_file, not both")
	files := Config{Jobs: []Job{{HTTP: HTTP{BodyFile: "a", CAFile: "b", HeadersFile: map[string]string{"Y": "d", "X": "c"}}}, {}}}.Files()
	if got := strings.Join(files, " "); got != "b a c d" {
		t.Errorf("files that the configuration reads: %s", got)
	}
}
