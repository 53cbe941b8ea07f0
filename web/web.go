// Package web serves nines to people and programs: the page (built from web/ui
// and embedded), the API /api/nines/v1/, the Prometheus HTTP API and the
// Alertmanager API v2 beside it, health, reload and metrics. It reads the ledger
// and holds no truth of its own: any number of them may run, and stopping one
// loses nothing. It promises that a number it shows is never rounded in the
// promise's favour, that unknown is shown as neither up nor down, and that a web
// site open in the operator's browser can neither read nor change anything here.
// cmd/nines wires it.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/slo"
	"nines/internal/yamlconf"
	"nines/statement"
)

// Alert is an alert as the notifier sees it.
type Alert struct {
	Labels      map[string]string
	Annotations map[string]string
	// Firing is false once it was resolved.
	Firing bool
	// StartsAt and EndsAt are Unix milliseconds; EndsAt is 0 while firing.
	StartsAt, EndsAt int64
	// Silenced says that a silence holds its notifications back.
	Silenced bool
}

// Options are what New needs. Ledger is required; everything else may be zero.
type Options struct {
	Config Config
	Ledger *ledger.Ledger
	// Prometheus serves /api/v1/ and Alertmanager /api/v2/, paths unchanged; nil
	// where the role does not run in this process.
	Prometheus, Alertmanager http.Handler
	// Alerts returns the alerts that the notifier knows, firing and lately
	// resolved; nil takes the ledger's alone.
	Alerts func() []Alert
	// Pipeline tells how the roles of this process keep up, and what became of
	// records that could not be used; nil where nobody knows.
	Pipeline func(context.Context) (Pipeline, error)
	// Rules returns the rule set in force; nil, or a nil answer, takes the
	// ledger's.
	Rules func() *slo.RuleSet
	// Health returns every part of the process by name, nil for those that are
	// well.
	Health func() map[string]error
	// Reload reads configuration, rules and targets again; its error says why
	// the old ones stay.
	Reload func(context.Context) error
	// Metrics receives web's own metrics; Sets are written to /metrics with it.
	Metrics *metrics.Set
	Sets    []*metrics.Set
	// Version and DataDir are shown to people.
	Version, DataDir string
	Log              *slog.Logger
	// Now is the clock; time.Now unless set.
	Now func() time.Time
}

// Server is the role web. Make one with New.
type Server struct {
	o        Options
	log      *slog.Logger
	now      func() time.Time
	loopback bool
	who      access.Principal
	met      *meters
	hub      *hub
	handler  http.Handler

	mu       sync.Mutex
	listener net.Listener
}

// New returns a server that does not listen yet.
func New(o Options) (*Server, error) {
	if o.Ledger == nil {
		return nil, errors.New("create web: no ledger given")
	}
	if err := o.Config.normalize(); err != nil {
		return nil, fmt.Errorf("create web: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	page, err := loadAssets(mustSub(dist, "dist"))
	if err != nil {
		return nil, fmt.Errorf("create web: %w", err)
	}
	s := &Server{o: o, log: o.Log, now: o.Now, loopback: isLoopback(o.Config.Listen), who: access.Local()}
	s.hub = newHub(s)
	s.met = newMeters(o.Metrics, s.hub.clients)
	s.handler = newGuard(s.loopback, o.Config.AllowedHosts).wrap(s.routes(page))
	return s, nil
}

// Handler returns everything that Run serves.
func (s *Server) Handler() http.Handler { return s.handler }

// Listen takes the address, so that a port in use is known before anything
// else starts. Run calls it if nobody has.
func (s *Server) Listen() (net.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return s.listener.Addr(), nil
	}
	l, err := net.Listen("tcp", s.o.Config.Listen)
	if err != nil {
		return nil, explainListen(s.o.Config.Listen, err)
	}
	s.listener = l
	return l.Addr(), nil
}

func explainListen(addr string, err error) error {
	hint := "check the address"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another program listens there, perhaps another nines: stop it, or choose another address with --listen"
	case errors.Is(err, syscall.EACCES):
		hint = "this user may not: choose a port above 1023 with --listen"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "no interface of this host has the address: choose another with --listen"
	}
	return fmt.Errorf("listen on %s: %w; %s", addr, err, hint)
}

// Bounds on a connection. Event streams set their own deadlines.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 2 * time.Minute
	idleTimeout   = 2 * time.Minute
	// drainTimeout is how long requests under way may take after Run is told to
	// end.
	drainTimeout = 2 * time.Second
)

// Run serves until the context ends, and returns when every request has ended.
func (s *Server) Run(ctx context.Context) error {
	if _, err := s.Listen(); err != nil {
		return err
	}
	addr := s.listener.Addr().String()
	if !s.loopback {
		s.log.Warn("web is reachable from other hosts and asks for no login: whoever reaches it sees everything and may silence alerts", "listen", addr)
	}
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	inner, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { s.hub.run(inner) })
	served := make(chan error, 1)
	go func() { served <- srv.Serve(s.listener) }()
	s.log.Info("web serves", "url", "http://"+addr)
	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("serve %s: %w", addr, err)
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		s.hub.close() // event streams end now; they would hold the drain up
		if srv.Shutdown(drain) != nil {
			_ = srv.Close() // cut off what has not ended: the listener is closed already
		}
		<-served
	}
	stop()
	wg.Wait()
	return err
}

// routes is the whole surface.
func (s *Server) routes(page assets) http.Handler {
	mux := http.NewServeMux()
	api := func(pattern string, f func(*http.Request) (any, error)) {
		mux.Handle("GET /api/nines/v1/"+pattern, s.met.measure("/api/nines/v1/"+pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer, err := f(r)
			if err != nil {
				fail(w, r, explainRead(err))
				return
			}
			writeJSON(w, r, http.StatusOK, answer)
		})))
	}
	api("overview", s.getOverview)
	api("objectives", s.getObjectives)
	api("objectives/{name...}", s.getObjective)
	api("slots", s.getSlots)
	api("percentiles", s.getPercentiles)
	api("burndown", s.getBurndown)
	api("mesh", s.getMesh)
	api("mesh/pair", s.getMeshPair)
	api("hosts", s.getHosts)
	api("agents", s.getAgents)
	api("regions", s.getRegions)
	api("contracts", s.getContracts)
	api("contracts/{name...}", s.getContract)
	api("statement", s.getStatement)
	api("alerts", s.getAlerts)
	api("gaps", s.getGaps)
	api("pipeline", s.getPipeline)
	api("inventory", s.getInventory)
	api("inventory/{name...}", s.getHistory)
	api("exclusions", s.getExclusions)
	for pattern, f := range map[string]func(*http.Request, *yamlconf.Doc) (any, error){"inventory": s.postInventory, "exclusions": s.postExclusion} {
		mux.Handle("POST /api/nines/v1/"+pattern, s.met.measure("/api/nines/v1/"+pattern, changes(f)))
	}
	mux.Handle("GET /api/nines/v1/events", http.HandlerFunc(s.hub.serve))
	mux.Handle("/api/v1/", s.met.measure("/api/v1/", mount(s.o.Prometheus, "the ruler does not run in this process: ask a collector that runs it, or start this one with the role ruler")))
	mux.Handle("/api/v2/", s.met.measure("/api/v2/", mount(s.o.Alertmanager, "the notifier does not run in this process: ask a collector that runs it, or start this one with the role notify")))
	mux.HandleFunc("GET /-/healthy", s.getHealthy)
	mux.HandleFunc("GET /-/ready", s.getReady)
	mux.HandleFunc("/-/reload", s.reload)
	mux.HandleFunc("GET /metrics", s.getMetrics)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/api/"):
			writeError(w, r, http.StatusNotFound, "the API has no "+quoteShort(r.URL.Path)+" for "+r.Method)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			writeError(w, r, http.StatusMethodNotAllowed, "use GET")
		default:
			page.ServeHTTP(w, r)
		}
	})
	return mux
}

func mount(h http.Handler, absent string) http.Handler {
	if h == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// The Prometheus API's own error shape, which its clients print.
			writeJSON(w, r, http.StatusServiceUnavailable, map[string]string{"status": "error", "errorType": "unavailable", "error": absent})
		})
	}
	return sameOrigin(h)
}

// explainRead gives the ledger's errors a status.
func explainRead(err error) error {
	var refusal inventory.Refusal
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return notFound("%v; GET /api/nines/v1/objectives lists what there is", err)
	case errors.Is(err, statement.ErrNotTheirs):
		return notFound("there is no statement of this period for you: it is, in part or whole, another customer's")
	case errors.As(err, &refusal): // the inventory contradicts the contract
		return &apiError{http.StatusConflict, err.Error()}
	}
	return err
}
