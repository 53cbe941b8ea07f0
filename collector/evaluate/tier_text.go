package evaluate

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"nines/internal/sla"
	"nines/internal/slo"
)

// missedText and riskText tell people what is at stake.
func (s *State) missedText(st *standing, o slo.Outlook, t sla.Tier) string {
	return fmt.Sprintf("%s is below %s for the period to %s, whatever comes: %d of %d slots are bad, %d are allowed; %s, unless exclusions take slots out%s",
		st.who(), t.Below, st.of.endText(), o.Bad, o.Applicable, o.Allowed(t.Below), s.stake(st, t), unknownText(o, t))
}

func (s *State) riskText(st *standing, o slo.Outlook, t sla.Tier) string {
	allowed := o.Allowed(t.Below)
	spent := ""
	if slots, ok := o.Left(t.Below); ok {
		n := max(len(s.members(st)), 1)
		spent = fmt.Sprintf(", spent in %d minutes at that rate", int64(slots)*st.of.length()/int64(n)/60_000)
	}
	part := ""
	if st.group == nil && s.parted {
		part = fmt.Sprintf("; seen on the %d resources that %s judges", len(s.members(st)), s.name())
	}
	return fmt.Sprintf("%s is on the way below %s by %s, for which %s: %d of %d slots are bad, %s are projected at the rate of the last %s; %d more are allowed%s%s%s",
		st.who(), t.Below, st.of.endText(), s.stake(st, t), o.Bad, o.Applicable, o.Projected().FloatString(1), duration(slo.TierSpan),
		allowed-min(o.Bad, allowed), spent, unknownText(o, t), part)
}

// who names contract, customer, objective and group.
func (st *standing) who() string {
	p := st.of
	out := fmt.Sprintf("contract %s of customer %s, objective %s", p.contract.Name, p.contract.Customer, p.name)
	if st.group != nil && len(st.group.Labels) > 0 {
		var values []string
		for _, l := range st.group.Labels {
			values = append(values, l.Value)
		}
		out += ", " + strings.Join(values, " ")
	}
	return out
}

func (p *promise) endText() string {
	return time.UnixMilli(p.end).In(p.loc).Format("2006-01-02 15:04") + " " + p.agreed.TimeZone
}

// unknownText says what the unknown slots leave open.
func unknownText(o slo.Outlook, t sla.Tier) string {
	if o.Unknown == 0 {
		return ""
	}
	worst := o
	worst.Bad += o.Unknown
	if !o.Missed(t.Below) && worst.Missed(t.Below) {
		return fmt.Sprintf("; with the %d unknown slots as bad it is missed already", o.Unknown)
	}
	return fmt.Sprintf("; %d slots are unknown and count for nothing here", o.Unknown)
}

// stake says what the tier owes.
func (s *State) stake(st *standing, t sla.Tier) string {
	p := st.of
	if t.Lost {
		return "the share of the fee that is lost is owed"
	}
	share := t.Credit.Rat()
	for _, limit := range []sla.Ratio{p.objective.Cap, p.contract.Cap} {
		if limit.Den != 0 && share.Cmp(limit.Rat()) > 0 {
			share = limit.Rat()
		}
	}
	fee := s.feeOf(st)
	percent := new(big.Rat).Mul(share, big.NewRat(100, 1)).FloatString(5)
	return fmt.Sprintf("%s %% of the fee are owed (%s %s)", strings.TrimRight(strings.TrimRight(percent, "0"), "."), fee.Times(share), fee.Currency)
}
