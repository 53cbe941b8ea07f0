package probe

import (
	"bufio"
	"errors"
	"io"
)

// maxEvent bounds one event of a stream in bytes: an endpoint that never ends
// its line must not fill our memory.
const maxEvent = 1 << 20

var errLongEvent = errors.New("an event of the stream is longer than 1 MiB")

// sseReader reads server-sent events as the HTML standard defines them (section
// 9.2.6, "Interpreting an event stream"): of each event its data, all other
// fields and comments left out. It returns an event as soon as its last line
// has come, so that the caller can time it.
type sseReader struct {
	r     *bufio.Reader
	line  []byte
	data  []byte
	begun bool // something was read: a byte order mark is behind us
	skip  bool // the last line ended with CR: an LF right behind it belongs to that
}

func newSSEReader(r *bufio.Reader) *sseReader { return &sseReader{r: r} }

// next returns the data of the next event that has any. It is valid until the
// next call. At the end of the stream it returns io.EOF; an event that was not
// ended by an empty line is dropped.
func (s *sseReader) next() ([]byte, error) {
	s.data = s.data[:0]
	has := false
	for {
		if err := s.readLine(); err != nil {
			return nil, err
		}
		if len(s.line) == 0 {
			if has {
				return s.data, nil
			}
			continue
		}
		value, ok := dataField(s.line)
		if !ok {
			continue
		}
		if has {
			s.data = append(s.data, '\n')
		}
		has = true
		if s.data = append(s.data, value...); len(s.data) > maxEvent {
			return nil, errLongEvent
		}
	}
}

// dataField returns the value of a line "data: value".
func dataField(line []byte) ([]byte, bool) {
	const name = "data"
	if len(line) < len(name) || string(line[:len(name)]) != name {
		return nil, false
	}
	rest := line[len(name):]
	switch {
	case len(rest) == 0:
		return rest, true
	case rest[0] != ':':
		return nil, false
	case len(rest) > 1 && rest[1] == ' ':
		return rest[2:], true
	}
	return rest[1:], true
}

// readLine reads a line, which CR, LF or both end, without its end. A line that
// the stream's end cuts is none.
func (s *sseReader) readLine() error {
	s.line = s.line[:0]
	for {
		b, err := s.r.ReadByte()
		if err != nil {
			return err
		}
		if skip := s.skip; skip {
			s.skip = false
			if b == '\n' {
				continue
			}
		}
		if b == '\n' || b == '\r' {
			s.skip = b == '\r'
			s.dropMark()
			return nil
		}
		if s.line = append(s.line, b); len(s.line) > maxEvent {
			return errLongEvent
		}
	}
}

// dropMark removes a byte order mark from the stream's first line.
func (s *sseReader) dropMark() {
	if !s.begun && len(s.line) >= 3 && string(s.line[:3]) == "\uFEFF" {
		s.line = s.line[3:]
	}
	s.begun = true
}

// isEnd tells whether err is the stream's proper end.
func isEnd(err error) bool { return err == io.EOF } //nolint:errorlint // a wrapped one comes from below
