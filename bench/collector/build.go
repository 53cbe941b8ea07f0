package collector

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"nines/bench/program"
	"nines/test/module"
)

// tools are the contestants' programs.
type tools struct {
	nines, agent, telegraf, victoria, vmalert string
	prometheus, promtool, alertmanager        string
}

const (
	telegrafPkg = "github.com/influxdata/telegraf/cmd/telegraf"
	victoriaPkg = "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics"
	vmalertPkg  = "github.com/VictoriaMetrics/VictoriaMetrics/app/vmalert"
)

// telegrafTags are the plugins that Telegraf is built with: those that it runs.
func telegrafTags() []string {
	return []string{"custom", "inputs.kafka_consumer", "outputs.discard", "outputs.http", "outputs.influxdb", "parsers.influx", "serializers.prometheusremotewrite"}
}

// build builds nines from the repository and the others from the modules that
// pin them, and finds Debian's programs.
func build(ctx context.Context, root, into string) (t tools, err error) {
	if err := os.MkdirAll(into, 0o755); err != nil {
		return t, err
	}
	// The page is embedded: without one that was built, an empty folder serves.
	if err := os.MkdirAll(filepath.Join(root, "web", "dist"), 0o755); err != nil {
		return t, err
	}
	t.nines, t.agent = filepath.Join(into, "nines"), filepath.Join(into, "nines-agent")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", into, "./cmd/nines", "./cmd/nines-agent")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return t, fmt.Errorf("build nines: %w\n%s", err, out)
	}
	var errs []error
	add := func(to *string, dir, pkg string, tags ...string) {
		binary, err := module.Into(into, filepath.Join(root, "test", dir), pkg, tags...)
		*to, errs = binary, append(errs, err)
	}
	add(&t.telegraf, "telegraf", telegrafPkg, telegrafTags()...)
	add(&t.victoria, "victoriametrics", victoriaPkg)
	add(&t.vmalert, "victoriametrics", vmalertPkg)
	for name, to := range map[string]*string{"prometheus": &t.prometheus, "promtool": &t.promtool, "prometheus-alertmanager": &t.alertmanager} {
		*to, err = exec.LookPath(name)
		if err != nil {
			err = fmt.Errorf("%w (Debian's packages prometheus and prometheus-alertmanager have it)", err)
		}
		errs = append(errs, err)
	}
	return t, errors.Join(errs...)
}

// Versions are what the programs say they are.
func (s *Session) Versions() []string {
	t := &s.tools
	pinned := func(dir, path string) string { return module.Version(filepath.Join(s.o.Root, "test", dir), path) }
	out := []string{
		"nines " + program.Says(s.o.Root, "git", "describe", "--tags", "--always"),
		"Telegraf " + pinned("telegraf", "github.com/influxdata/telegraf") + " (built with the plugins that it runs)",
		"VictoriaMetrics and vmalert " + pinned("victoriametrics", "github.com/VictoriaMetrics/VictoriaMetrics"),
		program.Says(s.o.Root, t.prometheus, "--version"),
		program.Says(s.o.Root, t.alertmanager, "--version"),
		program.Says(s.o.Root, "go", "version"),
	}
	if s.cluster != nil {
		out = append(out, s.cluster.Version()+", one node")
	}
	return out
}
