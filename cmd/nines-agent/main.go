// Command nines-agent measures one host and its probe targets and sends what it
// measured to Kafka: the agent alone, without the collector's roles.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"nines/internal/hush"
)

// Exit codes.
const (
	exitFailure = 1 // something went wrong while running
	exitUsage   = 2 // the command line or the configuration is wrong
)

// version is set when a release is built.
var version = "dev"

func main() {
	hush.End()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot(os.Stdout, os.Stderr).ExecuteContext(ctx)
	stop()
	os.Exit(report(err))
}

// report prints the error and returns the exit code. Whatever fails before a
// command runs is a matter of usage.
func report(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, err)
	if f := (failure{}); errors.As(err, &f) {
		return exitFailure
	}
	return exitUsage
}

// failure marks errors of running, as opposed to usage and configuration.
type failure struct{ error }

// Unwrap returns the error itself.
func (f failure) Unwrap() error { return f.error }

func failed(err error) error {
	if err == nil {
		return nil
	}
	return failure{err}
}
