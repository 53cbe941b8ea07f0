package evaluate

import (
	"context"
	"time"

	"nines/internal/access"
	"nines/internal/inventory"
	"nines/internal/slo"
	"nines/internal/wire"
)

// inventoryEvery is how often the ledger is asked for a change of the inventory.
const inventoryEvery = 3 * time.Second

// exclusionsEvery is how often it is asked for a change of the exclusions: what
// they leave out is counted anew, from all that the ledger has.
const exclusionsEvery = 30 * time.Second

// inventoryDue gives the state the inventory where it has changed. Trouble keeps
// the one before: evaluation goes on.
func (o *owner) inventoryDue(ctx context.Context) {
	if time.Since(o.asked) < inventoryEvery {
		return
	}
	o.asked = time.Now()
	err := o.readInventory(ctx)
	if err != nil && ctx.Err() == nil && !o.blindfold {
		o.log.Warn("the inventory cannot be read; what was expected before stays", "err", err)
	}
	o.blindfold = err != nil
}

func (o *owner) readInventory(ctx context.Context) error {
	version, err := o.o.Ledger.InventoryVersion(ctx)
	if err != nil || version == o.facts {
		return err
	}
	partitions, err := o.o.Client.Partitions(ctx, wire.TopicPartials)
	if err != nil {
		return err
	}
	records, err := o.o.Ledger.Inventory(ctx, access.Local(), 0)
	if err != nil {
		return err
	}
	o.state.Expect(inventory.At(records, 0), func(key wire.GroupKey) bool {
		return slo.PartitionOf(key.Stream, key.Labels, int32(partitions)) == o.partition
	})
	o.facts = version
	return nil
}

// exclusionsDue tells whether the ledger's exclusions have changed. Trouble leaves
// those before.
func (o *owner) exclusionsDue(ctx context.Context) bool {
	if time.Since(o.excluded) < exclusionsEvery {
		return false
	}
	o.excluded = time.Now()
	list, err := o.o.Ledger.Exclusions(ctx, access.Local(), "", 0)
	return err == nil && !o.state.KnowsExclusions(list)
}
