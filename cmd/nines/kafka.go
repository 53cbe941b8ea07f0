package main

import (
	"context"

	"github.com/spf13/cobra"

	"nines/internal/bus"
)

// kafkaFlags say how a command reaches Kafka.
type kafkaFlags struct {
	brokers       []string
	file, dataDir string
}

func (k *kafkaFlags) addKafka(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&k.brokers, "brokers", nil, "Kafka brokers, host:port by comma")
	f.StringVar(&k.file, "config", "", "configuration that says how to reach Kafka")
	f.StringVar(&k.dataDir, "data-dir", "data", "data directory of the running process, where neither is given")
}

// with calls f with a client that a broker has answered.
func (k *kafkaFlags) with(ctx context.Context, log *logs, f func(*bus.Client) error) error {
	client, err := k.open(log)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return failed(err)
	}
	return f(client)
}

// open returns a client, which has contacted nobody yet.
func (k *kafkaFlags) open(log *logs) (*bus.Client, error) {
	cfg, err := k.config()
	if err != nil {
		return nil, err
	}
	return bus.New(bus.Options{Config: cfg, Log: log.logger()})
}

// config is how Kafka is reached: by --brokers, by --config, or by what runs on
// the data directory.
func (k *kafkaFlags) config() (bus.Config, error) {
	if k.file != "" {
		cfg, err := loadConfig(k.file)
		if err != nil {
			return bus.Config{}, err
		}
		if len(k.brokers) > 0 {
			cfg.Kafka.Brokers = k.brokers
		}
		if len(cfg.Kafka.Brokers) > 0 {
			return cfg.Kafka, nil
		}
	}
	if len(k.brokers) > 0 {
		return bus.Config{Brokers: k.brokers}, nil
	}
	r, err := readRunFile(k.dataDir)
	return bus.Config{Brokers: r.Brokers}, failed(err)
}
