// Package gpuworker is the hidden command by which an agent starts its own
// program again to read NVIDIA's GPUs apart from itself. Every program that runs
// an agent has it.
package gpuworker

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"nines/agent/gpu"
)

const name = "gpu-worker"

// Command is what the agent starts; nil where the program's own path is unknown.
func Command() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{self, name}
}

// New returns the command of a program. failed marks errors while running, as
// apart from wrong usage, for the program's exit code.
func New(program string, failed func(error) error) *cobra.Command {
	var opt gpu.WorkerOptions
	cmd := &cobra.Command{
		Use: name, Short: "Read NVIDIA's GPUs for the agent that started this", Hidden: true,
		Long: `gpu-worker reads the GPUs through NVML whenever a line comes in, and prints what it
read as a line of JSON. The agent starts it; by hand it shows what the driver gives.`,
		Example: "  echo | " + program + " " + name,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return failed(gpu.Serve(cmd.InOrStdin(), cmd.OutOrStdout(), opt))
		},
	}
	f := cmd.Flags()
	f.StringVar(&opt.Library, "library", "", "NVML's shared library; looked for where it is empty")
	f.BoolVar(&opt.Processes, "processes", false, "list each process that holds GPU memory")
	f.DurationVar(&opt.Limit, "limit", 3*time.Second, "how long one GPU may take")
	return cmd
}
