package scenario

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"nines/internal/access"
	"nines/internal/ledger"
	"nines/internal/scenario/script"
	"nines/internal/slo"
)

// status compares where one group of an objective stands.
func (r *run) status(ctx context.Context, step *script.Step) error {
	g, ok, err := r.group(ctx, step)
	if !ok {
		return err
	}
	var objective *slo.Objective
	for _, o := range r.set.Objectives {
		if o.Name == step.Name {
			objective = o
		}
	}
	if objective == nil {
		return at(step.Pos, "is asked of a contract: its attainment stands in settle")
	}
	all, err := r.world.led.StatusesOf(ctx, access.Local(), step.Name)
	if err != nil {
		return err
	}
	for i := range all {
		if all[i].Group == g.Key {
			return r.figure(step, objective, &all[i])
		}
	}
	r.fail(step.Pos, "a status of "+choice(step), "none yet")
	return nil
}

func (r *run) figure(step *script.Step, o *slo.Objective, st *ledger.Status) error {
	what := fmt.Sprintf("%s of %s at %s to be %s", step.Action, choice(step), r.clock(r.world.now), step.Want)
	switch step.Action {
	case script.State:
		if st.State != step.Want {
			r.fail(step.Pos, what, st.State)
		}
	case script.Attainment:
		if got := attainment(st, step.Want); got != strings.TrimSuffix(step.Want, "%") {
			r.fail(step.Pos, what, fmt.Sprintf("%s (%d/%d)", got, st.Attainment.Num, st.Attainment.Den))
		}
	case script.Budget:
		if got := like(100*st.BudgetLeft, step.Want); got != step.Want {
			r.fail(step.Pos, what, got)
		}
	case script.Burn:
		for i, row := range o.Burn {
			if row.Long != step.Window || i >= len(st.Burn) {
				continue
			}
			if got := like(st.Burn[i].Long, step.Want); got != step.Want {
				r.fail(step.Pos, what, got)
			}
			return nil
		}
		return at(step.Pos, "no burn-rate row of "+o.Name+" has this long window")
	}
	return nil
}

// attainment writes the attainment as the wanted text is written: as a ratio, or
// as a percentage with so many decimals, truncated.
func attainment(st *ledger.Status, want string) string {
	if strings.Contains(want, "/") {
		return fmt.Sprintf("%d/%d", st.Attainment.Num, st.Attainment.Den)
	}
	text := st.Attainment.Percent()
	_, decimals, _ := strings.Cut(strings.TrimSuffix(want, "%"), ".")
	whole, have, found := strings.Cut(text, ".")
	if !found || len(decimals) >= len(have) {
		return text
	}
	if decimals == "" {
		return whole
	}
	return whole + "." + have[:len(decimals)]
}

// like rounds a number to as many decimals as the wanted text has, with its
// percent sign; these figures are for display and are not exact.
func like(v float64, want string) string {
	number, percent := strings.CutSuffix(want, "%")
	_, decimals, _ := strings.Cut(number, ".")
	text := strconv.FormatFloat(v, 'f', len(decimals), 64)
	if math.Abs(v) < 1 && strings.Trim(text, "-0.") == "" {
		text = strings.TrimPrefix(text, "-")
	}
	if percent {
		text += "%"
	}
	return text
}
