package probe

import (
	"context"
	"encoding/hex"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// serveHealth starts grpc-go's own server with a health service.
func serveHealth(t *testing.T, h healthpb.HealthServer, opts ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(opts...)
	healthpb.RegisterHealthServer(s, h)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() { s.Stop(); wg.Wait() })
	return l.Addr().String()
}

// failing answers every check with an error.
type failing struct {
	healthpb.UnimplementedHealthServer
	code codes.Code
	hang bool
}

func (f failing) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if f.hang {
		<-ctx.Done()
	}
	return nil, status.Error(f.code, "as told")
}

func TestGRPC(t *testing.T) {
	h := health.NewServer()
	h.SetServingStatus("shop", healthpb.HealthCheckResponse_SERVING)
	h.SetServingStatus("sick", healthpb.HealthCheckResponse_NOT_SERVING)
	h.SetServingStatus("vague", healthpb.HealthCheckResponse_UNKNOWN)
	h.SetServingStatus("odd", healthpb.HealthCheckResponse_SERVICE_UNKNOWN)
	addr := serveHealth(t, h)
	f := func(target, service string, ok bool, why reason, text string, code float64) {
		t.Helper()
		timeout := 5 * time.Second
		if why == reasonTimeout && !ok {
			timeout = 300 * time.Millisecond
		}
		r := try(t, Job{Probe: "grpc", GRPC: GRPC{Service: service}}, at(target), timeout)
		wantResult(t, r, ok, why, text)
		wantFigures(t, r, map[figure]float64{figureGRPCStatus: code})
	}
	f(addr, "", true, 0, "", 0)
	f("grpc://"+addr, "shop", true, 0, "", 0)
	f(addr, "sick", false, reasonNotServing, "NOT_SERVING", 0)
	f(addr, "vague", false, reasonUnknown, "UNKNOWN", 0)
	f(addr, "odd", false, reasonServiceUnknown, "SERVICE_UNKNOWN", 0)
	f(addr, "nobody", false, reasonServiceUnknown, "grpc-status 5", 5)
	f(serveHealth(t, healthpb.UnimplementedHealthServer{}), "", false, reasonStatus, "grpc-status 12", 12)
	f(serveHealth(t, failing{code: codes.Unauthenticated}), "", false, reasonAuth, "as told", 16)
	f(serveHealth(t, failing{code: codes.PermissionDenied}), "", false, reasonAuth, "as told", 7)
	f(serveHealth(t, failing{code: codes.ResourceExhausted}), "", false, reasonRateLimited, "as told", 8)
	f(serveHealth(t, failing{code: codes.Unavailable}), "", false, reasonOverloaded, "as told", 14)
	hung := try(t, Job{Probe: "grpc"}, at(serveHealth(t, failing{code: codes.DeadlineExceeded, hang: true})), 300*time.Millisecond)
	wantResult(t, hung, false, reasonTimeout, "")
	f(freePort(t), "", false, reasonRefused, "", math.NaN())
	f("name.invalid:1", "", false, reasonDNS, "", math.NaN())

	ca := newAuthority(t)
	conf := serveCerts(ca.issue("127.0.0.1", -time.Hour, time.Hour))
	conf.NextProtos = []string{"h2"}
	secure := "grpcs://" + serveHealth(t, h, grpc.Creds(credentials.NewTLS(conf)))
	f(secure, "shop", false, reasonCertUntrusted, "", math.NaN())
	r := try(t, Job{Probe: "grpc", GRPC: GRPC{Service: "shop"}, HTTP: HTTP{CAFile: ca.file}}, at(secure), 5*time.Second)
	wantResult(t, r, true, 0, "")
	wantFigures(t, r, map[figure]float64{figureVerified: 1, figureTLSVersion: 1.3})
	// A server of TLS that does not speak HTTP/2, and one of HTTP/1.1 alone.
	plain := tlsServer(t, serveCerts(ca.issue("127.0.0.1", -time.Hour, time.Hour)))
	r = try(t, Job{Probe: "grpc", HTTP: HTTP{CAFile: ca.file}}, at("grpcs://"+plain), 5*time.Second)
	wantResult(t, r, false, reasonMalformed, "does not speak HTTP/2")
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	if r := try(t, Job{Probe: "grpc"}, at(web.Listener.Addr().String()), 5*time.Second); r.ok || r.reason == reasonTimeout {
		t.Errorf("%v", r)
	}
}

func TestGRPCTargets(t *testing.T) {
	for _, bad := range []string{"", "host", "https://host:1", "host:0", "grpcs://"} {
		if u, err := grpcURL(bad); err == nil {
			t.Errorf("%q: %v", bad, u)
		}
	}
}

func FuzzServingStatus(f *testing.F) {
	for _, s := range []string{"0000000000", "00000000020801", "00000000021200", "0100000000", "000000000308ff01"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newResult()
		judgeHealth("0", "", b, &r)
		if got, err := servingStatus(b); r.ok != (err == nil && got == 1) || !r.ok && r.err == nil {
			t.Fatalf("%d, %v, %v", got, err, r)
		}
	})
}
