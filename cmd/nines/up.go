package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"nines/agent/probe"
	"nines/configs"
	"nines/internal/broker"
	"nines/internal/bus"
	"nines/internal/service"
	"nines/internal/wire"
)

// agentGrace is how long the agent may take to send its last frames.
const agentGrace = 2500 * time.Millisecond

func newUp(logs *logs) *cobra.Command {
	var dataDir, listen, file, example string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run everything for this host: broker, agent, collector, page",
		Long: `Runs the embedded broker, the agent for this host, all collector roles, the API
and the page in the foreground. The first start writes the shipped configuration
to DATA-DIR/config, where it can be edited; Ctrl-C stops everything, and the next
start goes on from the data directory.

The embedded broker is for one machine. Name Kafka's brokers in the
configuration to use a cluster instead.

--example NAME starts a worked example instead: its configuration and data go to
data-NAME, and hosts are simulated, with faults by a script. A configuration that
names a simulation has no agent for this host unless it names one too.`,
		Example: `  nines up
  nines up --data-dir /var/lib/nines --listen 127.0.0.1:8080
  nines up --config /etc/nines/nines.yaml
  nines up --example gulf                     a region, four customers, 40 simulated hosts`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if example != "" && file != "" {
				return errors.New("--example: brings its own configuration; leave out --config")
			}
			read := func() (*Config, error) { return upConfig(dataDir, listen, file) }
			if example != "" {
				read = func() (*Config, error) { return exampleConfig(example, dataDir, listen) }
			}
			cfg, err := read()
			if err != nil {
				return err
			}
			return runUp(cmd.Context(), cfg, cmd.OutOrStdout(), logs)
		},
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "where broker, ledger, series and configuration are kept (default data)")
	cmd.Flags().StringVar(&listen, "listen", "", "address of the page and the API (default 127.0.0.1:9999)")
	cmd.Flags().StringVar(&file, "config", "", "configuration to use (default DATA-DIR/config/nines.yaml)")
	cmd.Flags().StringVar(&example, "example", "", "worked example with simulated hosts: "+strings.Join(configs.Examples(), ", "))
	return cmd
}

// upConfig reads the configuration, writing the shipped one first where none is
// named.
func upConfig(dataDir, listen, file string) (*Config, error) {
	if file == "" {
		dir := dataDir
		if dir == "" {
			dir = "data"
		}
		file = filepath.Join(dir, "config", "nines.yaml")
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			if _, err := configs.Write(filepath.Dir(file)); err != nil {
				return nil, failed(fmt.Errorf("write to data directory %s: %w; choose another with --data-dir", dir, err))
			}
		}
		dataDir = dir
	}
	cfg, err := loadConfig(file)
	if err != nil {
		return nil, err
	}
	return cfg, cfg.complete(dataDir, listen)
}

// runUp runs everything until the context ends or a part fails.
func runUp(ctx context.Context, cfg *Config, out io.Writer, logs *logs) error {
	// What is wrong with files is told at once, before anything starts.
	local, err := newLocalAgent(cfg)
	played, simErr := newSimulation(cfg)
	if err := errors.Join(err, simErr, checkFiles(cfg)); err != nil {
		return err
	}
	if err := portFree(cfg.Web.Listen, "--listen"); err != nil {
		return failed(err)
	}
	if err := writable(cfg.DataDir); err != nil {
		return failed(err)
	}
	log := logs.logger()
	if cfg.example != "" {
		if err := tellExample(ctx, cfg, log); err != nil {
			return failed(fmt.Errorf("record the example's inventory: %w", err))
		}
	}
	if played != nil {
		if err := played.prefill(ctx, cfg, log); ctx.Err() != nil {
			return errStopped
		} else if err != nil {
			return failed(fmt.Errorf("make up history: %w", err))
		}
	}
	embedded := len(cfg.Kafka.Brokers) == 0
	var own *broker.Broker
	if embedded {
		b, stop, err := startBroker(ctx, cfg, log)
		if err != nil {
			return failed(err)
		}
		defer stop()
		own, cfg.Kafka.Brokers = b, []string{b.Addr()}
	}
	a := newApp(cfg, allRoles, out, log)
	defer func() {
		if err := a.close(); err != nil {
			log.Error("closing failed", "err", err)
		}
	}()
	if own != nil {
		a.group.Add(service.Part{Name: "broker", Run: untilDone, Health: own.Health})
	}
	if err := a.prepare(ctx); err != nil {
		return err
	}
	if played != nil {
		a.group.Add(played.part(a.client, cfg.Topics.TelemetryPartitions, log.With("role", "simulation")))
	}
	if played == nil || cfg.Agent != "" {
		if err := local.start(a.client, log.With("role", "agent"), a.agentSet); err != nil {
			return err
		}
		a.group.Add(local.part(cfg.Topics.TelemetryPartitions))
	}
	if err := writeRunFile(cfg); err != nil {
		return failed(err)
	}
	defer os.Remove(runFile(cfg.DataDir))
	banner(out, cfg, local, played, embedded)
	logs.open()
	go reloadOnHUP(ctx, a, log)
	return failed(a.group.Run(ctx))
}

// reachable returns where this host reaches a listener: on loopback, where it
// listens on all addresses.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

// startBroker starts the embedded broker and returns when it can be reached.
func startBroker(ctx context.Context, cfg *Config, log *slog.Logger) (b *broker.Broker, stop func(), err error) {
	b, err = broker.New(broker.Options{Log: log.With("role", "broker"), Config: cfg.Broker.config(cfg.DataDir)})
	if err != nil {
		return nil, nil, err
	}
	bctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- b.Run(bctx) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			log.Error("the broker failed", "err", err)
		}
	}
	select {
	case <-b.Ready():
		return b, stop, nil
	case err := <-done:
		cancel()
		if err == nil {
			err = errors.New("the broker stopped while starting")
		}
		return nil, nil, err
	case <-ctx.Done():
		stop()
		return nil, nil, errStopped
	}
}

// untilDone is the Run of a part that runs elsewhere.
func untilDone(ctx context.Context) error { <-ctx.Done(); return nil }

// awaitTicks waits for the first tick of every partition: objectives count from
// there on.
func awaitTicks(ctx context.Context, client *bus.Client, partitions int) error {
	for p := 0; p < partitions; {
		_, next, err := client.Offsets(ctx, wire.TopicTelemetry, int32(p))
		if err == nil && next > 0 {
			p++
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func banner(out io.Writer, cfg *Config, l *localAgent, played *simulation, embedded bool) {
	kafka := "Kafka at " + strings.Join(cfg.Kafka.Brokers, ", ")
	if embedded {
		kafka = "broker for this machine at " + cfg.Kafka.Brokers[0]
	}
	fmt.Fprintf(out, "nines %s\n", version)
	fmt.Fprintf(out, "  page      http://%s\n", cfg.Web.Listen)
	if played != nil {
		played.describe(out)
	}
	if l.boot != nil {
		measured(out, l)
	}
	fmt.Fprintf(out, "  data      %s (%s)\n", cfg.DataDir, kafka)
	fmt.Fprintf(out, "  config    %s\n", absolute(cfg.file))
	fmt.Fprintf(out, "  stop      Ctrl-C\n")
}

// measured says what the agent of this host measures.
func measured(out io.Writer, l *localAgent) {
	running, absent := l.boot.Inputs()
	slices.Sort(running)
	fmt.Fprintf(out, "  measures  host %s: %s\n", l.boot.Name(), strings.Join(running, " "))
	if len(absent) > 0 {
		fmt.Fprintf(out, "            no hardware here for: %s\n", strings.Join(absent, " "))
	}
	fmt.Fprintf(out, "  probes    %s\n", probed(l.setup().cfg.Probes))
}

// absolute returns the path as it can be opened from anywhere.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func probed(c probe.Config) string {
	var parts []string
	for _, j := range c.Jobs {
		parts = append(parts, j.Targets...)
		parts = append(parts, j.FileSD...)
		parts = append(parts, j.HTTPSD...)
	}
	return strings.Join(parts, " ")
}

func reloadOnHUP(ctx context.Context, a *app, log *slog.Logger) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			if err := a.group.Reload(ctx); err != nil {
				log.Error("not reloaded, the old configuration stays", "err", err)
			} else {
				log.Info("configuration reloaded")
			}
		}
	}
}
