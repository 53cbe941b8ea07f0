package probe

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// events reads a stream to its end.
func events(r io.Reader) (out []string, err error) {
	s := newSSEReader(bufio.NewReaderSize(r, 16))
	for {
		data, err := s.next()
		if err != nil {
			return out, err
		}
		out = append(out, string(data))
	}
}

func TestSSE(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		got, err := events(strings.NewReader(text))
		if !slices.Equal(got, want) || err != io.EOF {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
		slow, _ := events(iotest.OneByteReader(strings.NewReader(text)))
		if !slices.Equal(slow, want) {
			t.Errorf("%q byte by byte: got %q", text, slow)
		}
	}
	f("")
	f("data: a\n\ndata: b\n\n", "a", "b")
	f("data: a\r\n\r\ndata: b\r\n\r\n", "a", "b")
	f("data: a\r\rdata: b\r\r", "a", "b")
	f("data: a\r\n\rdata: b\n\r\n", "a", "b")
	f("\uFEFFdata: a\n\ndata: \uFEFFb\n\n", "a", "\uFEFFb")
	f(": a comment\n\n:\n\ndata:a\n\n", "a")
	f("data: one\ndata: two\n\n", "one\ntwo")
	f("data\ndata\n\n", "\n")
	f("data:  two spaces\n\n", " two spaces")
	f("event: message\nid: 7\nretry: 10\ndata: a\ndatabase: b\nDATA: c\n\n", "a")
	f("event: only\n\n")
	f("data: whole\n\ndata: torn", "whole")
	f("data: whole\n\ndata: no empty line\n", "whole")
}

func TestSSEIsBounded(t *testing.T) {
	f := func(r io.Reader) {
		t.Helper()
		if _, err := events(r); !errors.Is(err, errLongEvent) {
			t.Errorf("%v", err)
		}
	}
	f(strings.NewReader(strings.Repeat("x", maxEvent+1)))
	f(strings.NewReader(strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", maxEvent/1000+1)))
	broken := errors.New("broken")
	if _, err := events(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

// Whatever bytes come, the reader ends, does not depend on how they are cut
// into packets, and gives no event with a carriage return in it; the stream's
// reader ends with a verdict.
func FuzzLLMStream(f *testing.F) {
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n"))
	f.Add([]byte("data: {\"error\":{\"code\":429}}\r\n\r\n"))
	f.Add([]byte("\xef\xbb\xbf:x\rdata\r\n\n"))
	f.Add([]byte("data: {\"usage\":{\"completion_tokens\":9223372036854775807}}\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, err := events(bytes.NewReader(b))
		slow, slowErr := events(iotest.OneByteReader(bytes.NewReader(b)))
		if !slices.Equal(whole, slow) || err != slowErr {
			t.Fatalf("%q, %v; byte by byte %q, %v", whole, err, slow, slowErr)
		}
		for _, e := range whole {
			if strings.Contains(e, "\r") {
				t.Fatalf("event %q", e)
			}
		}
		s := newStream(time.Now())
		why, err := s.read(&http.Response{
			Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(bytes.NewReader(b))})
		r := newResult()
		s.fill(&r)
		if err == nil && s.pieces == 0 || err != nil && why.String() == "timeout" {
			t.Fatalf("%v %v, %d pieces", why, err, s.pieces)
		}
	})
}
