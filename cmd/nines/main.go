// Command nines is the collector, everything in one process, and the tools
// around them. It wires packages together and decides nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"nines/cmd/gpuworker"
	"nines/internal/hush"
)

// Exit codes, for scripts.
const (
	exitFailure = 1 // something failed while running
	exitUsage   = 2 // the command line or a file is wrong
)

// version is set when a release is built.
var version = "dev"

func main() {
	hush.End()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot().ExecuteContext(ctx)
	stop()
	os.Exit(report(err))
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

func report(err error) int {
	if err == nil || errors.Is(err, errStopped) {
		return 0
	}
	fmt.Fprintln(os.Stderr, err)
	if f := (failure{}); errors.As(err, &f) {
		return exitFailure
	}
	return exitUsage
}

func newRoot() *cobra.Command {
	log := &logs{}
	root := &cobra.Command{
		Use:   "nines",
		Short: "Telemetry and SLA monitoring: from hosts to a statement that both sides can check",
		Long: `nines streams metrics and probes from hosts over Kafka, judges availability and
latency against what was promised, alerts within seconds and keeps a ledger from
which a monthly statement can be recomputed.

Exit codes: 0 success, 1 failure, 2 wrong usage or configuration.`,
		Example: `  nines up                                   everything for this host, http://127.0.0.1:9999
  nines check configs/objectives/*.yaml      find mistakes before a reload
  nines status                               where the objectives stand
  nines statement --contract example --month 2026-11
  nines ledger backup /backup/nines.db        a copy while nines runs`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
	}
	root.SetVersionTemplate("nines {{.Version}}\n")
	root.PersistentFlags().BoolVarP(&log.verbose, "verbose", "v", false, "log more")
	root.AddCommand(newUp(log), newCollector(log), newInit(), newCheck(), newCat(log), newDeadletter(log), newStatus(), newStatement(log), newLedger(log), newInventory(log), newExclusion(log), newSettle(), newReplay(log), newSim(log), newTest(), gpuworker.New("nines", failed))
	return root
}
