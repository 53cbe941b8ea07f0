package web

import (
	"net"
	"net/http"
	"slices"
	"strings"
)

// guard is what every request passes first. It keeps other web sites, open in
// the operator's browser, from reading or changing anything here: by DNS
// rebinding (the Host header), by forged requests (Origin and Sec-Fetch-Site),
// by permissive CORS headers of the mounted APIs, by framing (CSP).
type guard struct {
	loopback bool
	allowed  []string
	cross    *http.CrossOriginProtection
}

func newGuard(loopback bool, allowed []string) *guard {
	g := &guard{loopback: loopback, cross: http.NewCrossOriginProtection()}
	for _, h := range allowed {
		g.allowed = append(g.allowed, strings.ToLower(h))
	}
	return g
}

// contentPolicy lets the page load from its own origin alone.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (g *guard) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if !g.hostAllowed(r.Host) {
			writeError(w, r, http.StatusMisdirectedRequest,
				"the Host header names "+quoteShort(r.Host)+", which is not this host; open the address that nines printed, or add the name to web.allowed_hosts")
			return
		}
		if err := g.cross.Check(r); err != nil {
			writeError(w, r, http.StatusForbidden, "this request comes from another web site; send it from the page of nines itself, or from a program")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostAllowed guards a loopback listener: a name that somebody else's DNS
// points at 127.0.0.1 is not ours.
func (g *guard) hostAllowed(host string) bool {
	if !g.loopback {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return isLoopbackHost(name) || slices.Contains(g.allowed, strings.ToLower(name))
}

// sameOrigin removes the CORS headers that a mounted handler sets: the
// Prometheus and Alertmanager APIs answer any site by default.
func sameOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&corsStripper{ResponseWriter: w}, r)
	})
}

type corsStripper struct {
	http.ResponseWriter
	done bool
}

func (c *corsStripper) strip() {
	if c.done {
		return
	}
	c.done = true
	for name := range c.Header() {
		if strings.HasPrefix(name, "Access-Control-") {
			c.Header().Del(name)
		}
	}
}

func (c *corsStripper) WriteHeader(code int) {
	c.strip()
	c.ResponseWriter.WriteHeader(code)
}

func (c *corsStripper) Write(b []byte) (int, error) {
	c.strip()
	return c.ResponseWriter.Write(b)
}

// Unwrap serves http.ResponseController.
func (c *corsStripper) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// Flush serves handlers that ask for http.Flusher.
func (c *corsStripper) Flush() {
	c.strip()
	if f, ok := c.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}
