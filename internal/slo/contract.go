package slo

import (
	"encoding/json"
	"fmt"

	"nines/internal/sla"
)

// TierAlertsOff switches the alerts on a contract's credit tiers off.
const TierAlertsOff = "off"

// ContractRecord is how a rule set carries a contract.
type ContractRecord struct {
	// File is the base name of the contract's file, and Text its bytes, so that
	// a dispute reads what the parties signed.
	File string `json:"file"`
	Text string `json:"text"`
	// TierAlerts is the severity of the alerts on its credit tiers: ticket where
	// it is empty, TierAlertsOff for none.
	TierAlerts string `json:"tier_alerts,omitempty"`
	// Contract is what package rules made of it.
	Contract *sla.Contract `json:"contract"`
}

// Contract returns the named contract of the rule set.
func (r *RuleSet) Contract(name string) (*ContractRecord, error) {
	raw, ok := r.Contracts[name]
	if !ok {
		return nil, fmt.Errorf("find contract %q: the rule set has none of that name", name)
	}
	var c ContractRecord
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("read contract %q of the rule set: %w", name, err)
	}
	if c.Contract == nil {
		return nil, fmt.Errorf("read contract %q of the rule set: it is empty", name)
	}
	return &c, nil
}
