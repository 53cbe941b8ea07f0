package ruler

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/notifications"
	v1 "github.com/prometheus/prometheus/web/api/v1"

	"nines/internal/telemetry"
)

// prometheusVersion is what the API tells its clients it speaks: Grafana turns
// features on by it.
const prometheusVersion = "3.15.0"

// newAPI returns Prometheus' own HTTP API over the store and the rules.
func newAPI(c Config, db *tsdb.DB, eng *promql.Engine, mgr *rules.Manager, kinds func() map[string]telemetry.Kind, started time.Time, log *slog.Logger, reg *prometheus.Registry) http.Handler {
	api := v1.NewAPI(eng, db, nil, nil, noExemplars{},
		func(context.Context) v1.ScrapePoolsRetriever { return noScraping{} },
		func(context.Context) v1.TargetRetriever { return noScraping{} },
		func(context.Context) v1.AlertmanagerRetriever { return noScraping{} },
		func() config.Config { return config.DefaultConfig },
		map[string]string{"storage.tsdb.retention.time": c.Retention.String()},
		v1.GlobalURLOptions{},
		func(h http.HandlerFunc) http.HandlerFunc { return h },
		admin{db}, c.Dir, false, false, 0, log,
		func(context.Context) v1.RulesRetriever { return mgr },
		50_000_000, 4, 1<<20, false, nil,
		func() (v1.RuntimeInfo, error) { return runtimeInfo(c, started), nil },
		&v1.PrometheusVersion{Version: prometheusVersion, Revision: "nines", Branch: "nines", GoVersion: runtime.Version()},
		func() []notifications.Notification { return nil },
		func() (<-chan notifications.Notification, func(), bool) { return nil, func() {}, false },
		reg, reg, nil, false, nil, false, false, false, false, lookback, false, false, nil, nil,
		v1.OpenAPIOptions{}, newParser(),
	)
	r := route.New()
	api.Register(r.WithPrefix("/api/v1"))
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/", func(w http.ResponseWriter, req *http.Request) {
		req.Header.Del("Origin") // no page of another origin may read the answers
		r.ServeHTTP(w, req)
	})
	mux.HandleFunc("GET /api/v1/metadata", func(w http.ResponseWriter, req *http.Request) { serveMetadata(w, req, kinds()) })
	return mux
}

// metadata is what Prometheus tells of a metric.
type metadata struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// serveMetadata answers from the schemas of the frames; Prometheus' own handler
// would ask its scrape targets.
func serveMetadata(w http.ResponseWriter, req *http.Request, kinds map[string]telemetry.Kind) {
	data := map[string][]metadata{}
	want, limit := req.FormValue("metric"), -1
	if s := req.FormValue("limit"); s != "" {
		if _, err := fmt.Sscanf(s, "%d", &limit); err != nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]any{"status": "error", "errorType": "bad_data", "error": "limit must be a number"})
			return
		}
	}
	for name, k := range kinds {
		if limit > 0 && len(data) >= limit {
			break
		}
		if want == "" || want == name {
			data[name] = []metadata{{Type: k.String()}}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": data})
}

func runtimeInfo(c Config, started time.Time) v1.RuntimeInfo {
	host, _ := os.Hostname()
	return v1.RuntimeInfo{
		StartTime: started, ServerTime: time.Now(), LastConfigTime: started, ReloadConfigSuccess: true,
		Hostname: host, GoroutineCount: runtime.NumGoroutine(), GOMAXPROCS: runtime.GOMAXPROCS(0),
		StorageRetention: c.Retention.String(),
	}
}

// admin answers the API's questions about the store. What would change it is
// refused, and the API has those calls off.
type admin struct{ db *tsdb.DB }

func (admin) CleanTombstones() error { return errReadOnly }
func (admin) Delete(context.Context, int64, int64, ...*labels.Matcher) error {
	return errReadOnly
}
func (admin) Snapshot(string, bool) error { return errReadOnly }
func (a admin) Stats(label string, limit int) (*tsdb.Stats, error) {
	return a.db.Head().Stats(label, limit), nil
}
func (admin) WALReplayStatus() (tsdb.WALReplayStatus, error) { return tsdb.WALReplayStatus{}, nil }
func (a admin) BlockMetas() ([]tsdb.BlockMeta, error)        { return a.db.BlockMetas(), nil }

var errReadOnly = fmt.Errorf("series store is read-only over HTTP")

// noScraping says that nothing is scraped: series come from the log.
type noScraping struct{}

func (noScraping) ScrapePools() []string                       { return []string{} }
func (noScraping) TargetsActive() map[string][]*scrape.Target  { return nil }
func (noScraping) TargetsDropped() map[string][]*scrape.Target { return nil }
func (noScraping) TargetsDroppedCounts() map[string]int        { return nil }
func (noScraping) ScrapePoolConfig(p string) (*config.ScrapeConfig, error) {
	return nil, fmt.Errorf("scrape pool %q: nothing is scraped, series come from the log", p)
}
func (noScraping) Alertmanagers() []*url.URL        { return nil }
func (noScraping) DroppedAlertmanagers() []*url.URL { return nil }
