package remotewrite

import (
	"context"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"nines/test/ports"
)

// handler is Prometheus' handler of remote write over its store, in this process.
type handler struct {
	t       *testing.T
	addr    string
	dir     string
	accepts remoteapi.MessageTypes
	spoke   atomic.Value // content type of the last request

	db     *tsdb.DB
	server *http.Server
	ended  chan struct{}
}

func newHandler(t *testing.T, accepts string) *handler {
	h := &handler{t: t, addr: ports.Free(t), dir: t.TempDir()}
	for _, v := range strings.Fields(accepts) {
		h.accepts = append(h.accepts, map[string]remoteapi.WriteMessageType{"1.0": remoteapi.WriteV1MessageType, "2.0": remoteapi.WriteV2MessageType}[v])
	}
	return h
}

func (h *handler) url() string { return "http://" + h.addr + "/api/v1/write" }

func (h *handler) start() {
	h.t.Helper()
	db, err := tsdb.Open(h.dir, slog.New(slog.DiscardHandler), nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	h.db = db
	write := remote.NewWriteHandler(slog.New(slog.DiscardHandler), client.NewRegistry(), db, h.accepts, false, false, false)
	h.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.spoke.Store(r.Header.Get("Content-Type"))
		write.ServeHTTP(w, r)
	})}
	l, err := net.Listen("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.ended = make(chan struct{})
	go func() { defer close(h.ended); _ = h.server.Serve(l) }()
}

func (h *handler) stop() {
	if h.server == nil {
		return
	}
	if err := h.server.Shutdown(context.Background()); err != nil {
		h.t.Error(err)
	}
	<-h.ended
	h.server = nil
	if err := h.db.Close(); err != nil {
		h.t.Error(err)
	}
}

// lastSpoken returns the version of the last request.
func (h *handler) lastSpoken() string {
	if strings.Contains(h.spoke.Load().(string), "write.v2") {
		return "2.0"
	}
	return "1.0"
}

func (h *handler) samples(name string) (out []point, err error) {
	err = h.each(name, func(it chunkenc.Iterator, typ chunkenc.ValueType) {
		if typ == chunkenc.ValFloat {
			at, v := it.At()
			out = append(out, point{at, v})
		}
	})
	return out, err
}

// each calls f for each sample of the metric.
func (h *handler) each(name string, f func(chunkenc.Iterator, chunkenc.ValueType)) error {
	q, err := h.db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		return err
	}
	defer q.Close()
	set := q.Select(context.Background(), false, nil, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name))
	for set.Next() {
		it := set.At().Iterator(nil)
		for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
			f(it, typ)
		}
		if it.Err() != nil {
			return it.Err()
		}
	}
	return set.Err()
}

// checkHistograms wants the increments of the running histogram to be what was
// observed: two values each round, over both lives of the role.
func (h *handler) checkHistograms(sent bool) {
	h.t.Helper()
	n, total, last := 0, uint64(0), uint64(0)
	err := h.each("kept_time", func(it chunkenc.Iterator, typ chunkenc.ValueType) {
		if typ != chunkenc.ValHistogram {
			h.t.Errorf("a value of type %v", typ)
			return
		}
		_, x := it.AtHistogram(nil)
		if x.CounterResetHint == histogram.CounterReset || x.Count < last {
			last = 0
		}
		total += x.Count - last
		last = x.Count
		n++
	})
	if want := map[bool]int{true: 300}[sent]; err != nil || n != want || total != uint64(2*want) {
		h.t.Errorf("%d histograms with %d values, want %d with %d (%v)", n, total, want, 2*want, err)
	}
}
