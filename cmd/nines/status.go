package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// overview is what nines status reads of GET /api/nines/v1/overview.
type overview struct {
	LogTime    int64  `json:"log_time"`
	Version    string `json:"version"`
	Objectives []struct {
		Name      string `json:"name"`
		TargetPct string `json:"target_pct"`
		Groups    []struct {
			Labels        map[string]string `json:"labels"`
			State         string            `json:"state"`
			AttainmentPct string            `json:"attainment_pct"`
			BudgetLeft    float64           `json:"budget_left"`
		} `json:"groups"`
	} `json:"objectives"`
	Alerts map[string]int `json:"alerts"`
}

func newStatus() *cobra.Command {
	var url, dataDir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show where the objectives stand",
		Long: `Asks a running nines where its objectives stand and which alerts are open.

Exit code 1 if a page is open or nines cannot be reached, so that scripts can
use it.`,
		Example: `  nines status
  nines status --url http://127.0.0.1:9999 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if url == "" {
				r, err := readRunFile(dataDir)
				if err != nil {
					return failed(err)
				}
				url = "http://" + r.Listen
			}
			return failed(status(cmd.Context(), strings.TrimSuffix(url, "/"), asJSON, cmd.OutOrStdout()))
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "where nines listens (default: what runs on --data-dir)")
	cmd.Flags().StringVar(&dataDir, "data-dir", "data", "data directory of the running process")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the overview as JSON")
	return cmd
}

func status(ctx context.Context, url string, asJSON bool, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/nines/v1/overview", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask nines at %s: %w; is it running?", url, reason(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask nines at %s: %s %s %w", url, resp.Status, body, cmp.Or(err, fmt.Errorf("no overview")))
	}
	var o overview
	if err := json.Unmarshal(body, &o); err != nil {
		return fmt.Errorf("read the overview of %s: %w", url, err)
	}
	if asJSON {
		if _, err := out.Write(append(body, '\n')); err != nil {
			return err
		}
	} else {
		printStatus(out, &o)
	}
	if n := o.Alerts["page"]; n > 0 {
		return fmt.Errorf("%d page(s) open", n)
	}
	return nil
}

// reason drops the words around the operating system's reason.
func reason(err error) error {
	var call *os.SyscallError
	var op *net.OpError
	var path *fs.PathError
	switch {
	case errors.As(err, &call):
		return call.Err
	case errors.As(err, &op):
		return op.Err
	case errors.As(err, &path):
		return path.Err
	}
	return err
}

func printStatus(out io.Writer, o *overview) {
	fmt.Fprintf(out, "nines %s, log time %s\n\n", o.Version, time.UnixMilli(o.LogTime).UTC().Format(time.RFC3339))
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "OBJECTIVE\tGROUP\tSTATE\tTARGET\tATTAINED\tBUDGET LEFT")
	for _, obj := range o.Objectives {
		if len(obj.Groups) == 0 {
			fmt.Fprintf(w, "%s\t-\tno data\t%s %%\t-\t-\n", obj.Name, obj.TargetPct)
		}
		for _, g := range obj.Groups {
			attained := "-"
			if g.AttainmentPct != "" {
				attained = g.AttainmentPct + " %"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s %%\t%s\t%.1f %%\n", obj.Name, labelText(g.Labels), g.State, obj.TargetPct, attained, g.BudgetLeft*100)
		}
	}
	w.Flush()
	fmt.Fprintln(out, "\nBudget left is that of the objective's whole window; what was not measured yet counts as kept.")
	fmt.Fprintf(out, "open alerts: %d page, %d ticket, %d advisory\n", o.Alerts["page"], o.Alerts["ticket"], o.Alerts["advisory"])
}

func labelText(labels map[string]string) string {
	parts := make([]string, 0, len(labels))
	for n, v := range labels {
		parts = append(parts, n+"="+v)
	}
	sort.Strings(parts)
	return strings.Join(parts, " ")
}
