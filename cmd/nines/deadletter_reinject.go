package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nines/internal/bus"
	"nines/internal/deadletter"
)

// reinjectFlags say which letters are sent again, and where.
type reinjectFlags struct {
	letterFlags
	to              string
	all, yes, force bool
}

func newDeadletterReinject(log *logs) *cobra.Command {
	var q reinjectFlags
	cmd := &cobra.Command{
		Use:   "reinject [LETTER...]",
		Short: "Send dead letters again, once",
		Long: `Sends letters again, with the original's key, value, time and headers: to the
partition that they came from, or to another topic. Choose them by number or place,
or all of a filter. What was used of a record is recognised as a repeat.

Each is claimed on nines.deadletter before it is sent and noted after, so that it is
not sent twice. Letters that were sent already, that failed again after it, that were
cut, or that could not be used in any case are refused; --force sends them all the same.`,
		Example: `  nines deadletter reinject 17 18
  nines deadletter reinject telegraf/0/52811
  nines deadletter reinject --reason influx --topic telegraf --since 2h
  nines deadletter reinject --all --to telegraf-again --yes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && q.reason == "" && q.topic == "" && q.since == "" && q.from == 0 && !q.all {
				return errors.New("reinject: say which: numbers, --reason, --topic, --since, --from, or --all")
			}
			var chosen deadletter.Filter
			if len(args) > 0 {
				var err error
				if chosen, err = named(args); err != nil {
					return err
				}
			}
			return q.with(cmd.Context(), log, func(client *bus.Client) error {
				return q.run(cmd.Context(), client, chosen, cmd.InOrStdin(), cmd.OutOrStdout())
			})
		},
	}
	q.addKafka(cmd)
	q.addFilter(cmd)
	f := cmd.Flags()
	f.StringVar(&q.to, "to", "", "topic to send to (default each letter's own)")
	f.BoolVar(&q.all, "all", false, "all letters, where no filter is given")
	f.BoolVar(&q.yes, "yes", false, "do not ask")
	f.BoolVar(&q.force, "force", false, "send what is refused, too: may count twice")
	return cmd
}

func (q *reinjectFlags) run(ctx context.Context, client *bus.Client, chosen deadletter.Filter, in io.Reader, out io.Writer) error {
	box, err := q.read(ctx, client, time.Now(), chosen)
	if err != nil {
		return err
	}
	if len(box.Letters) == 0 {
		return failed(errors.New("reinject: no such letters; see nines deadletter list --limit 0"))
	}
	if !q.yes {
		if err := q.ask(box, in, out); err != nil {
			return err
		}
	}
	sent, refused, done := 0, 0, int64(0)
	bar := newBar(os.Stderr, "sending")
	err = deadletter.Reinject(ctx, client, box, deadletter.Order{To: q.to, Force: q.force}, func(s deadletter.Sent, err error) {
		bar.end()
		if err != nil {
			refused++
			fmt.Fprintln(out, err)
		} else {
			sent++
			fmt.Fprintf(out, "letter %d sent to %s/%d offset %d\n", s.Letter.ID, s.Topic, s.Partition, s.Offset)
		}
		done++
		bar.show(done, int64(len(box.Letters)))
	})
	bar.end()
	if err != nil {
		return failed(err)
	}
	fmt.Fprintf(out, "%d of %d letters sent\n", sent, len(box.Letters))
	if refused > 0 {
		return failed(fmt.Errorf("reinject: %d of %d letters were not sent", refused, len(box.Letters)))
	}
	return nil
}

// ask wants a yes before anything is sent.
func (q *reinjectFlags) ask(box *deadletter.Box, in io.Reader, out io.Writer) error {
	to := "the topics that they came from"
	if q.to != "" {
		to = q.to
	}
	fmt.Fprintf(out, "Send %d letters to %s? [y/N] ", len(box.Letters), to)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && line == "" {
		fmt.Fprintln(out)
		return errors.New("reinject: nobody answers; say --yes to send without asking")
	}
	if a := strings.ToLower(strings.TrimSpace(line)); a != "y" && a != "yes" {
		return failed(errors.New("reinject: nothing was sent"))
	}
	return nil
}
