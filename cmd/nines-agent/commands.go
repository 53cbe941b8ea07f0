package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/spf13/cobra"

	"nines/agent"
	"nines/agent/telegraf"
	"nines/cmd/gpuworker"
)

const (
	defaultConfig = "/etc/nines/agent/agent.yaml"
	defaultState  = "/var/lib/nines-agent"
)

type flags struct {
	config string
	state  string
	level  string
	format string
}

func newRoot(out, errOut io.Writer) *cobra.Command {
	f := &flags{}
	run := newRun(f, errOut)
	root := &cobra.Command{
		Use:   "nines-agent",
		Short: "Measure this host and its probe targets and send frames to Kafka",
		Long: `nines-agent measures this host (Telegraf's inputs, GPUs, network cards), its probe
targets (ICMP, TCP, TLS, HTTP, gRPC, DNS, language models) and the network to other
agents, and sends what it measured to the topic nines.telemetry. Without a command
it runs.

Exit codes: 0 success, 1 failure while running, 2 wrong usage or configuration.`,
		Example: `  nines-agent --config agent.yaml
  nines-agent test --config agent.yaml
  nines-agent check agent.yaml inputs.toml`,
		Args: cobra.NoArgs, RunE: run.RunE,
		SilenceUsage: true, SilenceErrors: true, Version: version,
	}
	root.SetOut(out)
	root.SetErr(errOut)
	p := root.PersistentFlags()
	p.StringVar(&f.config, "config", defaultConfig, "the agent's YAML configuration")
	p.StringVar(&f.state, "state-dir", cmp.Or(os.Getenv("STATE_DIRECTORY"), defaultState), "where the agent keeps what it writes: the spool")
	p.StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
	p.StringVar(&f.format, "log-format", "text", "text or json")
	root.AddCommand(run, newTest(f, out, errOut), newCheck(out), newVersion(out), gpuworker.New("nines-agent", failed))
	return root
}

func newRun(f *flags, errOut io.Writer) *cobra.Command {
	var once bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "run", Short: "Measure and send until stopped (the default)",
		Long: `run measures and sends until it is stopped. It takes up changed configuration by
itself, and on SIGHUP. With --once it gathers every input once, sends that and
ends: with 0 when Kafka has acknowledged it.`,
		Example: `  nines-agent run --config /etc/nines/agent/agent.yaml
  nines-agent run --once --timeout 20s --config agent.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := f.logger(errOut)
			if err != nil {
				return err
			}
			if once {
				ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
				defer cancel()
				return runOnce(ctx, f, log)
			}
			return runAgent(cmd.Context(), f, log)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "gather every input once, send it, and end when it is acknowledged")
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "with --once: how long all of it may take")
	return cmd
}

// runOnce measures once and sends it.
func runOnce(ctx context.Context, f *flags, log *slog.Logger) error {
	cfg, err := agent.Load(f.config)
	if err != nil {
		return err
	}
	cfg.StateDir, cfg.GPUWorker = f.state, gpuworker.Command()
	a, err := agent.New(agent.Options{Config: cfg, Version: version, Log: log})
	if err != nil {
		return err
	}
	return failed(a.Once(ctx))
}

// runAgent runs until the context ends.
func runAgent(ctx context.Context, f *flags, log *slog.Logger) error {
	cfg, err := agent.Load(f.config)
	if err != nil {
		return err
	}
	cfg.StateDir, cfg.GPUWorker = f.state, gpuworker.Command()
	systemd, limits := newNotifier(log), newLimiter()
	limits.apply(cfg.Limits, cfg.CPUs())
	a, err := agent.New(agent.Options{Config: cfg, Version: version, Log: log, Turned: systemd.turned, TurnEvery: systemd.every, Metrics: metrics.NewSet()})
	if err != nil {
		return err
	}
	running, absent := a.Inputs()
	log.Info("agent starts", "agent", a.Name(), "boot", fmt.Sprintf("%016x", a.Boot()), "version", version,
		"kafka", strings.Join(cfg.Kafka.Brokers, ","), "inputs", strings.Join(running, ","), "not_on_this_host", strings.Join(absent, ","))
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	port := &local{settings: a.Local, log: log, changed: make(chan struct{}, 1)}
	r := &reloader{file: f.config, log: log, asked: make(chan chan error), hup: hup, reload: func() error {
		return systemd.reloading(func() error {
			err := a.ReloadFile(f.config)
			limits.apply(a.Limits(), a.CPUs())
			port.look()
			return err
		})
	}}
	port.handler = pages(a, r.ask)
	var beside sync.WaitGroup
	defer beside.Wait()
	besideCtx, stop := context.WithCancel(ctx)
	defer stop()
	beside.Go(func() { r.run(besideCtx) })
	beside.Go(func() { port.run(besideCtx) })
	beside.Go(func() { giveBack(besideCtx, log) })
	err = a.Run(ctx)
	systemd.stopping()
	log.Info("agent stopped")
	return failed(err)
}

func newTest(f *flags, out, errOut io.Writer) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "test", Short: "Gather every input once and print what it gives",
		Long: `test gathers every configured input twice, a second apart, and prints what the
second round gave. Nothing is sent. It fails where an input fails.`,
		Example: `  nines-agent test --config agent.yaml
  nines-agent test --config agent.yaml --timeout 60s | grep diskio`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := f.logger(errOut)
			if err != nil {
				return err
			}
			cfg, err := agent.Load(f.config)
			if err != nil {
				return err
			}
			cfg.GPUWorker = gpuworker.Command()
			in, err := agent.NewInputs(cfg, log)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			var text strings.Builder
			err = printResults(&text, in.Once(ctx, time.Second), in.Absent())
			hide := cfg.Secrets()
			fmt.Fprint(out, agent.Hide(text.String(), hide))
			if err != nil {
				err = errors.New(agent.Hide(err.Error(), hide))
			}
			return failed(err)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for the slowest input")
	return cmd
}

// printResults prints one series a line, inputs apart.
func printResults(out io.Writer, results []telegraf.Result, absent []string) error {
	var errs []error
	for _, r := range results {
		n := 0
		for _, round := range r.Rounds {
			n += len(round.Values)
		}
		fmt.Fprintf(out, "# %s: %d series in %s\n", r.Input, n, r.Took.Round(time.Microsecond))
		if r.Err != nil {
			fmt.Fprintf(out, "# %s: FAILED: %v\n", r.Input, r.Err)
			errs = append(errs, fmt.Errorf("input %s: %w", r.Input, r.Err))
		}
		for _, round := range r.Rounds {
			for i, s := range round.Schema.Series {
				if w := i >> 6; w < len(round.Absent) && round.Absent[w]&(1<<(i&63)) != 0 {
					continue
				}
				labels := ""
				if len(s.Labels) > 0 {
					labels = s.Labels.String()
				}
				fmt.Fprintf(out, "%s%s %v %s\n", s.Name, labels, round.Values[i], s.Kind)
			}
		}
	}
	for _, name := range absent {
		fmt.Fprintf(out, "# %s: left out, its hardware is not on this host\n", name)
	}
	return errors.Join(errs...)
}

func newCheck(out io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "check FILE...", Short: "Check configuration files without running anything",
		Long: `check reads agent configurations (YAML, with the inputs they name) and Telegraf
input files (.toml or .conf) and prints every mistake as file:line:col.`,
		Example: "  nines-agent check agent.yaml\n  nines-agent check inputs.toml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error {
			var errs []error
			for _, file := range files {
				if err := checkFile(file); err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintf(out, "%s: ok\n", file)
			}
			return errors.Join(errs...)
		},
	}
}

func checkFile(file string) error {
	switch filepath.Ext(file) {
	case ".toml", ".conf":
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read inputs: %w", err)
		}
		_, err = telegraf.Load([]telegraf.File{{Name: file, Text: text}}, time.Second)
		return err
	}
	cfg, err := agent.Load(file)
	if err != nil {
		return err
	}
	return cfg.CheckFiles()
}

func newVersion(out io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			fmt.Fprintf(out, "nines-agent %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}

// logger returns the logger that the flags describe.
func (f *flags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, fmt.Errorf("--log-level: must be debug, info, warn or error, got %q", f.level)
	}
	opt := &slog.HandlerOptions{Level: level}
	switch f.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opt)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opt)), nil
	}
	return nil, fmt.Errorf("--log-format: must be text or json, got %q", f.format)
}
