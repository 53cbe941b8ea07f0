package forward

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"nines/internal/yamlconf"
)

// store is a receiver that answers as it is told, and keeps what it took.
type store struct {
	t      *testing.T
	answer func(n int, v version, values map[int64]float64) (code int, counts bool)
	wrote  string // what it says it wrote, where it says it
	n      int
	got    map[int64]float64
	hists  []writev2.Histogram
	spoke  []version
	auth   string
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	if err == nil {
		data, err = snappy.Decode(nil, data)
	}
	if err != nil {
		s.t.Error(err)
	}
	s.n++
	s.auth = r.Header.Get("Authorization")
	values, hists, v := s.read(data, r.Header.Get("Content-Type"))
	s.spoke = append(s.spoke, v)
	code, counts := s.answer(s.n, v, values)
	if counts {
		w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", s.wrote)
	}
	if code == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "0")
	}
	if code/100 == 2 && (counts || v == version1) {
		for at, x := range values {
			s.got[at] = x
		}
		s.hists = append(s.hists, hists...)
	}
	w.WriteHeader(code)
	io.WriteString(w, "because of this")
}

func (s *store) read(data []byte, content string) (map[int64]float64, []writev2.Histogram, version) {
	values := map[int64]float64{}
	if !strings.Contains(content, "write.v2") {
		var req prompb.WriteRequest
		if err := req.Unmarshal(data); err != nil {
			s.t.Error(err)
		}
		for _, ts := range req.Timeseries {
			for _, x := range ts.Samples {
				values[x.Timestamp] = x.Value
			}
		}
		return values, nil, version1
	}
	var req writev2.Request
	if err := req.Unmarshal(data); err != nil {
		s.t.Error(err)
	}
	var hists []writev2.Histogram
	for _, ts := range req.Timeseries {
		b := labels.NewScratchBuilder(0)
		if ls, err := ts.ToLabels(&b, req.Symbols); err != nil || ls.Get("__name__") != "m" {
			s.t.Errorf("labels %v, %v", ls, err)
		}
		for _, x := range ts.Samples {
			values[x.Timestamp] = x.Value
		}
		hists = append(hists, ts.Histograms...)
	}
	return values, hists, version2
}

// delivered sends eight samples, times 1 to 8, to a store that answers so.
func delivered(t *testing.T, target Target, answer func(n int, v version, values map[int64]float64) (int, bool), wrote ...string) (*store, *meters) {
	t.Helper()
	s := &store{t: t, wrote: "9", answer: answer, got: map[int64]float64{}}
	if len(wrote) > 0 {
		s.wrote = wrote[0]
	}
	srv := httptest.NewServer(s)
	defer srv.Close()
	target.Name, target.URL = "store", srv.URL
	target.MinBackoff, target.MaxBackoff = yamlconf.Duration(time.Millisecond), yamlconf.Duration(2*time.Millisecond)
	m := newMeters(metrics.NewSet(), "store")
	send, err := newSender(target.withDefaults(), slog.New(slog.DiscardHandler), m)
	if err != nil {
		t.Fatal(err)
	}
	defer send.post.client.CloseIdleConnections()
	one := &series{labels: labels.FromStrings("__name__", "m"), kind: model.MetricTypeGauge}
	sum := &series{labels: labels.FromStrings("__name__", "m", "of", "histogram"), kind: model.MetricTypeHistogram}
	var samples []sample
	for i := range int64(8) {
		samples = append(samples, sample{series: one, time: i + 1, value: float64(i) / 3})
	}
	samples = append(samples, sample{series: sum, time: 9, start: 5, hist: &histogram.Histogram{Schema: 3, Count: 2, Sum: 2,
		PositiveSpans: []histogram.Span{{Offset: 1, Length: 1}}, PositiveBuckets: []int64{2}}})
	if err := send.deliver(context.Background(), newBody(), samples, &refusals{log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	return s, m
}

func complete(t *testing.T, s *store, want int) {
	t.Helper()
	if len(s.got) != want {
		t.Errorf("the receiver has %d samples, want %d: %v", len(s.got), want, s.got)
	}
	for at, v := range s.got {
		if v != float64(at-1)/3 {
			t.Errorf("at %d: %v", at, v)
		}
	}
}

func TestVersion2CarriesHistogramsAndStarts(t *testing.T) {
	s, m := delivered(t, Target{}, func(int, version, map[int64]float64) (int, bool) { return 204, true })
	complete(t, s, 8)
	if len(s.hists) != 1 || s.hists[0].StartTimestamp != 5 || s.hists[0].GetCountInt() != 2 || m.sent.Get() != 9 {
		t.Errorf("histograms %v, %d samples sent", s.hists, m.sent.Get())
	}
}

func TestOldReceiversGetVersion1(t *testing.T) {
	f := func(name string, code int) {
		t.Helper()
		s, m := delivered(t, Target{}, func(_ int, v version, _ map[int64]float64) (int, bool) {
			if v == version2 {
				return code, false
			}
			return 204, false
		})
		complete(t, s, 8)
		if len(s.spoke) != 2 || s.spoke[1] != version1 || m.noHistogram.Get() != 1 {
			t.Errorf("%s: spoke %v, %d histograms left out", name, s.spoke, m.noHistogram.Get())
		}
	}
	f("refuses the type", 415)
	f("cannot read it", 400)
	f("skips what it does not know", 204)
}

func TestTroubleIsRetriedAndNothingIsDropped(t *testing.T) {
	f := func(code int) {
		t.Helper()
		s, m := delivered(t, Target{}, func(n int, _ version, _ map[int64]float64) (int, bool) {
			if n < 4 {
				return code, false
			}
			return 200, true
		})
		complete(t, s, 8)
		if m.retries.Get() != 3 {
			t.Errorf("%d: %d retries, want 3", code, m.retries.Get())
		}
	}
	for _, code := range []int{500, 503, 429, 401, 403, 404} {
		f(code)
	}
}

// One sample that the receiver will never take does not take the others with it.
func TestOnlyWhatIsRefusedIsDropped(t *testing.T) {
	s, m := delivered(t, Target{Protocol: protocol1}, func(_ int, _ version, values map[int64]float64) (int, bool) {
		if _, bad := values[6]; bad {
			return 400, false
		}
		return 200, false
	})
	complete(t, s, 7)
	if n := m.dropped("refused_400").Get(); n != 1 {
		t.Errorf("%d dropped, want 1", n)
	}
}

// A receiver of 2.0 writes what it can and says how much that was: the rest is
// refused, nothing is sent again, and it still speaks 2.0.
func TestPartialWritesAreNotSentAgain(t *testing.T) {
	s, m := delivered(t, Target{}, func(n int, v version, _ map[int64]float64) (int, bool) {
		if v != version2 || n > 1 {
			t.Errorf("request %d by version %d", n, v)
		}
		return 400, true
	}, "7")
	if sent, dropped := m.sent.Get(), m.dropped("refused_400").Get(); sent != 7 || dropped != 2 || len(s.spoke) != 1 {
		t.Errorf("%d sent, %d dropped, %d requests", sent, dropped, len(s.spoke))
	}
}

// One that wrote nothing may have refused all for one: halves go alone.
func TestNothingWrittenIsNarrowedDown(t *testing.T) {
	s, m := delivered(t, Target{}, func(_ int, _ version, values map[int64]float64) (int, bool) {
		_, bad := values[6]
		if bad {
			return 400, true
		}
		return 204, true
	}, "0")
	complete(t, s, 7)
	if dropped := m.dropped("refused_400").Get(); dropped != 1 || s.spoke[len(s.spoke)-1] != version2 {
		t.Errorf("%d dropped, versions %v", dropped, s.spoke)
	}
}

// The log tells where what was refused came from, once for many.
func TestRefusalsAreSaidTogether(t *testing.T) {
	var out strings.Builder
	r := refusals{log: slog.New(slog.NewTextHandler(&out, nil))}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	one := &series{labels: labels.FromStrings("__name__", "m")}
	for i := range int64(5) {
		r.add(&answer{code: 400, words: "too old"}, []sample{{series: one, time: 1000 * i, offset: 40 + i}}, 0)
		r.say(now.Add(time.Duration(i) * time.Second))
	}
	r.say(now.Add(sayEvery))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[1], "samples=4 offset_first=41 offset_last=44 status=400 says=\"too old\"") {
		t.Errorf("says\n%s", out.String())
	}
}

func TestSecretsAreSent(t *testing.T) {
	t.Setenv("NINES_TEST_TOKEN", "open sesame")
	s, _ := delivered(t, Target{Bearer: Bearer{TokenEnv: "NINES_TEST_TOKEN"}}, func(int, version, map[int64]float64) (int, bool) { return 204, true })
	if s.auth != "Bearer open sesame" {
		t.Errorf("authorization %q", s.auth)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f := func(in string, want time.Duration) {
		t.Helper()
		if got := retryAfter(in, now); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
	f("", 0)
	f("7", 7*time.Second)
	f("-1", 0)
	f("Thu, 01 Jan 2026 00:00:30 GMT", 30*time.Second)
	f("Wed, 31 Dec 2025 00:00:30 GMT", 0)
	f("1000000", maxRetryAfter)
}
