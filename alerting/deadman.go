package alerting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// feedDeadMan sends the heartbeat that somebody outside waits for, while the
// chain is whole, until ctx ends.
func (a *active) feedDeadMan(ctx context.Context) {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, Timeout: 10 * time.Second}
	tick := time.NewTicker(a.cfg.DeadMan.Interval.D())
	defer tick.Stop()
	last := ""
	for {
		why := a.healthy(time.Now())
		if why == nil {
			why = beat(ctx, client, a.cfg.DeadMan)
			a.m.heartbeats.Inc()
			if why != nil {
				a.m.heartbeatErrors.Inc()
			}
		}
		if ctx.Err() != nil {
			return
		}
		switch {
		case why == nil && last != "":
			a.n.log.Info("dead man's switch is fed again")
			last = ""
		case why != nil && last == "":
			a.n.log.Warn("dead man's switch is not fed; its watcher will call", "err", why)
			last = why.Error()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// beat makes one request. Errors do not show the URL: it is often a secret.
func beat(ctx context.Context, client *http.Client, c DeadMan) error {
	req, err := http.NewRequestWithContext(ctx, c.Method, c.URL, http.NoBody)
	if err != nil {
		return errors.New("make heartbeat request: is notify.dead_man.url a URL?")
	}
	req.Header.Set("User-Agent", "nines")
	resp, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return fmt.Errorf("send heartbeat to %s: %w", req.URL.Host, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("send heartbeat to %s: got status %s", req.URL.Host, resp.Status)
	}
	return nil
}
