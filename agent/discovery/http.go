package discovery

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// CheckURL tells whether u can be asked for targets.
func CheckURL(u string) error {
	p, err := url.Parse(u)
	if err != nil {
		return fmt.Errorf("http_sd: %w", err)
	}
	if (p.Scheme != "http" && p.Scheme != "https") || p.Host == "" {
		return fmt.Errorf("http_sd must be a URL like https://host/targets, got %q", u)
	}
	return nil
}

// pollURL asks one URL at every interval, until ctx ends.
func (d *Discovery) pollURL(ctx context.Context, u string) {
	tick := time.NewTicker(d.opt.HTTPInterval)
	defer tick.Stop()
	for {
		d.readURL(ctx, u)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (d *Discovery) readURL(ctx context.Context, u string) {
	content, err := d.fetch(ctx, u)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		d.update(u, "", nil, err)
		return
	}
	if d.unchanged(u, string(content)) {
		return
	}
	groups, where, err := parseJSON(u, content)
	var targets []Target
	for i, g := range groups {
		if cerr := g.check(); cerr != nil {
			err = fmt.Errorf("%s: %w", where(i), cerr)
			break
		}
		for _, a := range g.Targets {
			targets = append(targets, Target{Address: a, Labels: g.Labels})
		}
	}
	d.update(u, string(content), targets, err)
	d.publish()
}

func (d *Discovery) fetch(ctx context.Context, u string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "nines-agent")
	req.Header.Set("X-Prometheus-Refresh-Interval-Seconds", strconv.FormatFloat(d.opt.HTTPInterval.Seconds(), 'f', -1, 64))
	resp, err := d.opt.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: want status 200, got %s", u, resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", u, err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("get %s: answer is larger than 64 MiB", u)
	}
	return b, nil
}
