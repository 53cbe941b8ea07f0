// Package notary signs the state of the ledger's log, once a day of log time and
// when asked, and sends it out of the system: into a directory, and to people as
// an alert. Whoever holds such a checkpoint finds out whether the ledger was
// rewritten since. It also checks checkpoints and proofs, which needs no ledger.
package notary

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"nines/internal/alert"
	"nines/internal/ledger"
)

// AlertName is the label alertname of a checkpoint that goes to people.
const AlertName = "NinesLedgerCheckpoint"

// lookEvery is how often Run looks at the log time. An alert is resolved a look
// after it fired, so that it is told once.
const lookEvery = 5 * time.Minute

// Options are what New needs.
type Options struct {
	Ledger *ledger.Ledger
	Key    *Key
	// Dir takes the checkpoints, a file each. It is created.
	Dir string
	// Publish tells people; nil tells nobody.
	Publish func(context.Context, alert.Alert) error
	// Log and Metrics may be nil.
	Log     *slog.Logger
	Metrics *metrics.Set
}

// Notary signs. Run is the only caller of its methods while it runs.
type Notary struct {
	o              Options
	signed, failed *metrics.Counter
	// told is the alert that is to be resolved, untold the checkpoint of one that
	// could not be published.
	told   *alert.Alert
	untold *Checkpoint
	// looked says that the alert of a process before this one is resolved.
	looked bool
}

// New starts nothing.
func New(o Options) (*Notary, error) {
	if o.Ledger == nil || o.Key == nil || o.Dir == "" {
		return nil, errors.New("start notary: needs a ledger, a key and a directory")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	return &Notary{o: o, signed: o.Metrics.NewCounter("nines_ledger_checkpoints_total"),
		failed: o.Metrics.NewCounter("nines_ledger_checkpoint_errors_total")}, nil
}

// Run signs daily until the context ends. What fails is tried again at the next
// look.
func (n *Notary) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := n.look(ctx); err != nil && ctx.Err() == nil {
			n.failed.Inc()
			n.o.Log.Error("no checkpoint of the ledger; trying again in 5 minutes", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look signs if a day of log time (UTC) has begun since the newest checkpoint.
func (n *Notary) look(ctx context.Context) error {
	newest, err := Newest(n.o.Dir)
	if err != nil {
		return err
	}
	now, err := n.o.Ledger.LogTime(ctx)
	if err != nil {
		return err
	}
	if err := n.settle(ctx, newest, now); err != nil {
		return err
	}
	if now == 0 || !newest.IsZero() && !day(time.UnixMilli(now)).After(day(newest)) {
		return nil
	}
	_, err = n.Sign(ctx)
	if errors.Is(err, ErrEmpty) {
		return nil // the first hour has not closed
	}
	return err
}

func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// ErrEmpty says that there is nothing to sign yet.
var ErrEmpty = errors.New("the ledger's log is empty: the first hour is logged a quarter of an hour after its end")

// Sign logs what has closed, signs the log as it stands, saves the checkpoint and
// publishes it.
func (n *Notary) Sign(ctx context.Context) (*Checkpoint, error) {
	now, err := n.o.Ledger.LogTime(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := n.o.Ledger.Log(ctx, now); err != nil {
		return nil, err
	}
	tree, err := n.o.Ledger.LogTree(ctx)
	if err != nil {
		return nil, err
	}
	if tree.N == 0 {
		return nil, ErrEmpty
	}
	c, err := n.o.Key.Sign(tree.Tree, time.UnixMilli(tree.LogTime))
	if err != nil {
		return nil, err
	}
	if err := c.save(n.o.Dir); err != nil {
		return nil, err
	}
	n.signed.Inc()
	n.o.Log.Info("ledger checkpoint signed", "file", c.File, "leaves", c.N)
	return c, n.tell(ctx, c)
}

// tell publishes the checkpoint. Advisories wake nobody.
func (n *Notary) tell(ctx context.Context, c *Checkpoint) error {
	if n.o.Publish == nil {
		return nil
	}
	a := alertOf(c.Name, c.Time)
	a.Status = alert.Firing
	a.Annotations = map[string]string{
		"summary":     fmt.Sprintf("Checkpoint of ledger %s: %d leaves, signed %s", c.Name, c.N, c.Time.Format(time.RFC3339)),
		"description": string(c.Note),
	}
	n.untold = c
	if err := n.o.Publish(ctx, a); err != nil {
		return fmt.Errorf("publish checkpoint %s: %w", c.File, err)
	}
	n.told, n.untold = &a, nil
	return nil
}

// alertOf identifies the alert of a checkpoint. It has no source: nobody waits
// for signs of life of one that speaks once a day.
func alertOf(name string, at time.Time) alert.Alert {
	return alert.Alert{
		Labels:   map[string]string{"alertname": AlertName, "severity": alert.Advisory, "ledger": name, "signed": at.UTC().Format(time.RFC3339)},
		StartsAt: at.UnixMilli(), LogTime: at.UnixMilli(),
	}
}

// settle publishes what could not be published, and else ends the alert that was
// told at an earlier look, or by a process before this one.
func (n *Notary) settle(ctx context.Context, newest time.Time, now int64) error {
	if n.o.Publish == nil {
		return nil
	}
	if n.untold != nil {
		return n.tell(ctx, n.untold)
	}
	if !n.looked && n.told == nil && !newest.IsZero() {
		a := alertOf(n.o.Key.Name(), newest)
		n.told = &a
	}
	n.looked = true
	if n.told == nil {
		return nil
	}
	a := *n.told
	a.Status, a.EndsAt, a.LogTime = alert.Resolved, max(now, a.StartsAt), max(now, a.StartsAt)
	if err := n.o.Publish(ctx, a); err != nil {
		return fmt.Errorf("resolve the alert of a checkpoint: %w", err)
	}
	n.told = nil
	return nil
}
