package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func newCollector(logs *logs) *cobra.Command {
	var dataDir, listen, file string
	var roles []string
	cmd := &cobra.Command{
		Use:   "collector",
		Short: "Run collector roles against a Kafka cluster",
		Long: `Runs the roles aggregate, evaluate, ruler, forward, notify and web, or some of them,
against the Kafka cluster that the configuration names. Any number of collectors
may run the same role: Kafka shares the partitions among them. Evaluate, notify
and web read and write the same ledger; with SQLite they belong on one host.`,
		Example: `  nines collector --config /etc/nines/nines.yaml
  nines collector --config nines.yaml --roles aggregate,ruler`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return errors.New("collector: name the configuration with --config (nines init DIR writes one)")
			}
			for _, r := range roles {
				if !slices.Contains(allRoles, r) {
					return fmt.Errorf("collector: --roles: no role %q; roles are %s", r, strings.Join(allRoles, ", "))
				}
			}
			cfg, err := loadConfig(file)
			if err != nil {
				return err
			}
			if err := cfg.complete(dataDir, listen); err != nil {
				return err
			}
			if len(cfg.Kafka.Brokers) == 0 {
				return fmt.Errorf("%s: kafka.brokers: name the cluster's brokers; `nines up` brings one of its own", file)
			}
			return runCollector(cmd.Context(), cfg, roles, logs)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file (required)")
	cmd.Flags().StringSliceVar(&roles, "roles", allRoles, "roles to run, by comma")
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "where ledger and series are kept (default data)")
	cmd.Flags().StringVar(&listen, "listen", "", "address of the page and the API (default 127.0.0.1:9999)")
	return cmd
}

func runCollector(ctx context.Context, cfg *Config, roles []string, logs *logs) error {
	if err := checkFiles(cfg); err != nil {
		return err
	}
	if slices.Contains(roles, roleWeb) {
		if err := portFree(cfg.Web.Listen, "--listen"); err != nil {
			return failed(err)
		}
	}
	if err := writable(cfg.DataDir); err != nil {
		return failed(err)
	}
	log := logs.logger()
	logs.open()
	a := newApp(cfg, roles, os.Stdout, log)
	defer func() {
		if err := a.close(); err != nil {
			log.Error("closing failed", "err", err)
		}
	}()
	if err := a.prepare(ctx); err != nil {
		return err
	}
	if err := writeRunFile(cfg); err != nil {
		return failed(err)
	}
	defer os.Remove(runFile(cfg.DataDir))
	log.Info("collector runs", "roles", strings.Join(roles, ","), "kafka", strings.Join(cfg.Kafka.Brokers, ","), "listen", cfg.Web.Listen)
	go reloadOnHUP(ctx, a, log)
	return failed(a.group.Run(ctx))
}
