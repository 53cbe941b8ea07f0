package truth

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"nines/internal/telemetry"
)

// maxLine bounds a line of a file.
const maxLine = 1 << 20

// number is a float64 that may be "+Inf" or "NaN".
type number float64

// UnmarshalJSON reads either form.
func (n *number) UnmarshalJSON(b []byte) error {
	text := string(b)
	if len(b) > 1 && b[0] == '"' {
		text = string(b[1 : len(b)-1])
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("want a number or \"+Inf\", got %.40s", b)
	}
	*n = number(v)
	return nil
}

// anyLine is every kind of line: which one tells the field that is there.
type anyLine struct {
	Head
	Fault string            `json:"fault"`
	Name  string            `json:"name"`
	On    string            `json:"on"`
	From  int64             `json:"from"`
	Until int64             `json:"until"`
	Intro *int              `json:"series"`
	Host  string            `json:"host"`
	Kind  string            `json:"kind"`
	Label map[string]string `json:"labels"`
	Frame *uint64           `json:"frame"`
	Boot  uint64            `json:"boot,string"`
	Lost  bool              `json:"lost"`
	S     *int              `json:"s"`
	T     int64             `json:"t"`
	V     number            `json:"v"`
	End   *int64            `json:"end"`
	Sent  uint64            `json:"frames"`
	Whole bool              `json:"complete"`
}

// Series is one series of one host.
type Series struct {
	Host, Name string
	Counter    bool
	// Labels are those of the series, and of its host where it has none of that
	// name.
	Labels telemetry.Labels
}

// Sink takes what a file says, in its order.
type Sink interface {
	// Head is called first, once.
	Head(h Head)
	Fault(f Fault)
	// Series is called once for each, n counted from 0, before its samples.
	Series(n int, s Series)
	Sample(n int, at int64, v float64)
	// Frame says that the samples since the frame before were in this one.
	Frame(f Frame)
	// End is called last, and not at all where the simulation was killed.
	End(e End)
}

// Read reads the lines of one file; errors name name and line. A last line that
// was cut off is left out.
func Read(name string, in io.Reader, to Sink) error {
	r := bufio.NewReaderSize(in, maxLine)
	introduced, head := 0, false
	for n := 1; ; n++ {
		b, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			if !head {
				return fmt.Errorf("%s:%d: want a first line with \"truth\":%q; is this a file of nines sim --truth?", name, n, Format)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("read truth %s:%d: %w", name, n, err)
		}
		if err := take(b, &introduced, &head, to); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
}

func take(b []byte, introduced *int, head *bool, to Sink) error {
	if n, at, v, ok := plainSample(b); ok && *head {
		return sample(n, at, v, *introduced, to)
	}
	var l anyLine
	if err := json.Unmarshal(b, &l); err != nil {
		return fmt.Errorf("want a line of JSON: %w", err)
	}
	switch {
	case !*head:
		if l.Truth != Format {
			return fmt.Errorf("want a first line with \"truth\":%q, got %q", Format, l.Truth)
		}
		*head = true
		to.Head(l.Head)
	case l.S != nil:
		return sample(*l.S, l.T, float64(l.V), *introduced, to)
	case l.Frame != nil:
		to.Frame(Frame{*l.Frame, l.Host, l.Boot, l.Lost})
	case l.Intro != nil:
		if *l.Intro != *introduced || l.Name == "" || l.Kind != "gauge" && l.Kind != "counter" {
			return fmt.Errorf("want series %d with a name and a kind, gauge or counter", *introduced)
		}
		*introduced++
		to.Series(*l.Intro, Series{l.Host, l.Name, l.Kind == "counter", telemetry.NewLabels(l.Label)})
	case l.Fault != "":
		to.Fault(Fault{l.Fault, l.Name, l.On, l.From, l.Until})
	case l.End != nil:
		to.End(End{*l.End, l.Sent, l.Whole})
	default:
		return errors.New("want a line with s, series, fault or end")
	}
	return nil
}

func sample(n int, at int64, v float64, introduced int, to Sink) error {
	if n < 0 || n >= introduced {
		return fmt.Errorf("sample of series %d, which no line introduced", n)
	}
	if at < 0 || at > math.MaxInt64/2 {
		return fmt.Errorf("want a time in Unix milliseconds, got %d", at)
	}
	to.Sample(n, at, v)
	return nil
}

// plainSample reads a sample as Writer writes it, which is most of a file, in a
// tenth of the time that JSON takes. Whatever else is left to JSON.
func plainSample(b []byte) (n int, at int64, v float64, ok bool) {
	rest, ok := bytes.CutPrefix(b, []byte(`{"s":`))
	if !ok {
		return 0, 0, 0, false
	}
	head, rest, ok := bytes.Cut(rest, []byte(`,"t":`))
	if !ok {
		return 0, 0, 0, false
	}
	mid, rest, ok := bytes.Cut(rest, []byte(`,"v":`))
	last, closed := bytes.CutSuffix(rest, []byte("}\n"))
	if !ok || !closed || len(last) == 0 || last[0] > '9' || last[0] < '0' {
		return 0, 0, 0, false
	}
	n, errN := strconv.Atoi(string(head))
	at, errT := strconv.ParseInt(string(mid), 10, 64)
	v, errV := strconv.ParseFloat(string(last), 64)
	return n, at, v, errN == nil && errT == nil && errV == nil
}
