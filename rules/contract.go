package rules

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"nines/internal/sla"
	"nines/internal/sla/exact"
	"nines/internal/slo"
	"nines/internal/yamlconf"
)

// slaSpec is a contract as people write it; docs/contracts.md describes it.
type slaSpec struct {
	Customer      string             `yaml:"customer"`
	Reseller      string             `yaml:"reseller"`
	Product       string             `yaml:"product"`
	TimeZone      string             `yaml:"timeZone"`
	Period        string             `yaml:"period"`
	FirstDay      int                `yaml:"firstDay"`
	Fee           *feeSpec           `yaml:"fee"`
	Objectives    []slaObjectiveSpec `yaml:"objectives"`
	Combine       string             `yaml:"combine"`
	Cap           string             `yaml:"cap"`
	Minimum       string             `yaml:"minimum"`
	Exclusions    []exclusionSpec    `yaml:"exclusions"`
	ExcludePartly bool               `yaml:"excludePartly"`

	ExclusionTerms []termSpec       `yaml:"exclusionTerms"`
	Changes        *changesSpec     `yaml:"changes"`
	Restatement    *restatementSpec `yaml:"restatement"`
	Chronic        *chronicSpec     `yaml:"chronic"`
	ClaimDays      int              `yaml:"claimDays"`
	CauseDays      int              `yaml:"causeDays"`
	EvidenceMonths int              `yaml:"evidenceMonths"`
	TierAlerts     string           `yaml:"tierAlerts"`
}

type feeSpec struct {
	Amount   string `yaml:"amount"`
	Currency string `yaml:"currency"`
	Per      string `yaml:"per"`
}

type slaObjectiveSpec struct {
	Name        string            `yaml:"name"`
	SLI         slaIndicatorSpec  `yaml:"sli"`
	Scope       map[string]string `yaml:"scope"`
	Slot        *slotSpec         `yaml:"slot"`
	Runs        *runsSpec         `yaml:"runs"`
	Zones       *zonesSpec        `yaml:"zones"`
	Formula     string            `yaml:"formula"`
	Unknown     string            `yaml:"unknown"`
	Denominator string            `yaml:"denominator"`
	Aggregation string            `yaml:"aggregation"`
	Tiers       []tierSpec        `yaml:"tiers"`
	Cap         string            `yaml:"cap"`
	Minimum     string            `yaml:"minimum"`
}

// slaIndicatorSpec names an objective whose SLI is used, or spells one out.
type slaIndicatorSpec struct {
	Objective    string `yaml:"objective"`
	selectorSpec `yaml:",inline"`
	streamSpec   `yaml:",inline"`
	Op           string        `yaml:"op"`
	Value        *float64      `yaml:"value"`
	Good         *selectorSpec `yaml:"good"`
	Bad          *selectorSpec `yaml:"bad"`
	Total        *selectorSpec `yaml:"total"`
}

type tierSpec struct {
	Below  string `yaml:"below"`
	Credit string `yaml:"credit"`
}

// contracts compiles every contract, after the objectives that they may name.
func (c *compiler) contracts() {
	for _, s := range c.slas {
		before := len(c.errs)
		if out := c.contract(s); len(c.errs) == before {
			c.addContract(s.doc, out, s.Spec.TierAlerts)
		}
	}
}

func (c *compiler) contract(s *document[slaSpec]) *sla.Contract {
	d, spec := s.doc, &s.Spec
	out := &sla.Contract{Name: s.Metadata.Name, DisplayName: s.Metadata.DisplayName, Customer: spec.Customer, Reseller: spec.Reseller,
		Product: spec.Product, TimeZone: spec.TimeZone, ExcludePartly: spec.ExcludePartly}
	if spec.Customer == "" {
		c.fail(d, "spec.customer", nil, "is required: it says who may see the contract")
	}
	loc, err := loadZone(spec.TimeZone)
	if err != nil {
		c.fail(d, "spec.timeZone", spec.TimeZone, "%v", err)
		loc = time.UTC
	}
	c.period(d, spec, out)
	c.fee(d, "spec.fee", spec.Fee, out)
	out.Combine = sla.Highest
	switch {
	case spec.Combine == "highest" || spec.Combine == "sum":
		out.Combine = sla.Combine(spec.Combine)
	case spec.Combine != "":
		c.fail(d, "spec.combine", spec.Combine, "want highest or sum")
	case len(spec.Objectives) > 1:
		c.fail(d, "spec.combine", nil, "is required with several objectives: highest or sum")
	}
	out.Cap = c.share(d, "spec.cap", spec.Cap)
	out.Minimum = c.minimum(d, "spec.minimum", spec.Minimum, out)
	if len(spec.Objectives) == 0 {
		c.fail(d, "spec.objectives", nil, "is required")
	}
	names := map[string]bool{}
	for i := range spec.Objectives {
		o := c.slaObjective(d, i, &spec.Objectives[i], out, loc)
		if names[o.Name] {
			c.fail(d, objectivePath(i)+".name", o.Name, "an objective of this name is already defined")
		}
		names[o.Name] = true
		out.Objectives = append(out.Objectives, o)
	}
	for i := range spec.Exclusions {
		at := "spec.exclusions[" + strconv.Itoa(i) + "]"
		out.Exclusions = append(out.Exclusions, c.exclusion(d, at, &spec.Exclusions[i], spec.TimeZone))
	}
	out.Terms = c.terms(d, spec.ExclusionTerms)
	out.Changes = c.changes(d, spec.Changes, out)
	out.Revision = c.restatement(d, spec.Restatement)
	out.Chronic = c.chronic(d, spec.Chronic)
	out.Delays = sla.Delays{ClaimDays: spec.ClaimDays, CauseDays: spec.CauseDays, EvidenceMonths: spec.EvidenceMonths}
	if !slices.Contains([]string{"", "page", "ticket", "advisory", slo.TierAlertsOff}, spec.TierAlerts) {
		c.fail(d, "spec.tierAlerts", spec.TierAlerts, "want page, ticket (as without), advisory or off: how alerts on credit tiers reach people")
	}
	if spec.ClaimDays < 0 || spec.CauseDays < 0 || spec.EvidenceMonths < 0 {
		c.fail(d, "spec", nil, "want claimDays, causeDays and evidenceMonths from 0")
	}
	return out
}

// period reads month, with the day on which it begins, or a number of days that
// end with the month.
func (c *compiler) period(d *yamlconf.Doc, spec *slaSpec, out *sla.Contract) {
	days, rolling := strings.CutSuffix(spec.Period, "d")
	switch n, err := strconv.Atoi(days); {
	case rolling && err == nil && n >= 1 && n <= 366:
		out.RollingDays = n
	case spec.Period != "month":
		c.fail(d, "spec.period", spec.Period, "want month, or rolling days from 1d to 366d that end with the month")
	}
	out.FirstDay = spec.FirstDay
	if spec.FirstDay < 0 || spec.FirstDay > 28 {
		c.fail(d, "spec.firstDay", spec.FirstDay, "want a day from 1 to 28, which every month has")
	}
}

func (c *compiler) fee(d *yamlconf.Doc, at string, f *feeSpec, out *sla.Contract) {
	out.Fee.Currency = "XXX" // no currency (ISO 4217), until a fee that can be read names one
	if f == nil {
		c.fail(d, at, nil, "is required")
		return
	}
	if _, err := exact.ParseMoney("0", f.Currency); err != nil {
		c.fail(d, at+".currency", f.Currency, "want three capital letters, as in ISO 4217")
		return
	}
	m, err := exact.ParseMoney(f.Amount, f.Currency)
	if err != nil {
		c.fail(d, at+".amount", f.Amount, "%v", err)
		return
	}
	out.Fee.Money = m
	switch f.Per {
	case "", "contract":
	case "resource":
		out.Fee.PerResource = true
	default:
		c.fail(d, at+".per", f.Per, "want contract or resource")
	}
}

// share reads a cap in percent; no value where it is not declared.
func (c *compiler) share(d *yamlconf.Doc, at, text string) sla.Ratio {
	if text == "" {
		return sla.Ratio{}
	}
	r, err := parsePercent(strings.TrimSpace(strings.TrimSuffix(text, "%")))
	if err != nil || r.Num > r.Den {
		c.fail(d, at, text, "want a percentage from 0 to 100")
		return sla.Ratio{}
	}
	return r
}

func (c *compiler) minimum(d *yamlconf.Doc, at, text string, out *sla.Contract) int64 {
	if text == "" {
		return 0
	}
	m, err := exact.ParseMoney(text, out.Fee.Currency)
	if err != nil {
		c.fail(d, at, text, "%v", err)
	}
	return m.Minor
}

// slaObjective compiles one objective of a contract.
func (c *compiler) slaObjective(d *yamlconf.Doc, i int, o *slaObjectiveSpec, contract *sla.Contract, loc *time.Location) sla.Objective {
	at := objectivePath(i)
	out := sla.Objective{Name: o.Name, Unknown: sla.Policy(o.Unknown), Denominator: sla.Denominator(o.Denominator), Aggregation: sla.Aggregation(o.Aggregation)}
	if !validName(o.Name) {
		c.fail(d, at+".name", o.Name, "want a name of small letters, digits, - and .")
	}
	if !slices.Contains([]sla.Policy{sla.UnknownExclude, sla.UnknownBad, sla.UnknownGood, sla.UnknownCarry}, out.Unknown) {
		c.fail(d, at+".unknown", o.Unknown, "want exclude, bad, good or carry: what an unknown slot counts as")
	}
	if !slices.Contains([]sla.Denominator{sla.Calendar, sla.Lifecycle, sla.Traffic, sla.Requests}, out.Denominator) {
		c.fail(d, at+".denominator", o.Denominator, "want calendar, lifecycle, traffic or requests: which slots are counted")
	}
	switch o.Formula {
	case "", "slots":
	case "share":
		out.Formula = sla.ByShare
		if out.Denominator == sla.Requests {
			c.fail(d, at+".formula", o.Formula, "belongs to denominators of slots; requests are counted one by one")
		}
	default:
		c.fail(d, at+".formula", o.Formula, "want slots or share: what a slot counts for")
	}
	if !slices.Contains([]sla.Aggregation{sla.Pooled, sla.PerResource, sla.Worst}, out.Aggregation) {
		c.fail(d, at+".aggregation", o.Aggregation, "want pooled, per-resource or worst")
	}
	out.Tiers = c.tiers(d, at+".tiers", o.Tiers)
	out.Cap = c.share(d, at+".cap", o.Cap)
	out.Minimum = c.minimum(d, at+".minimum", o.Minimum, contract)
	stream := c.slaStream(d, at, o, loc)
	if stream != nil {
		out.Slot, out.Reading, out.Stream = stream.Rule, reading(stream.Rule, stream), c.stream(*stream)
		out.Latency = stream.Op == slo.LTE || stream.Op == slo.LT
		out.Runs = c.runs(d, at+".runs", o.Runs, stream, loc)
		out.Zones = c.zones(d, at+".zones", o.Zones, stream)
		out.Reading += runsWords(out.Runs) + zonesWords(out.Zones)
		if out.CountsEvents() && o.Zones != nil {
			c.fail(d, at+".zones", nil, "settles slots, not events: want denominator calendar or lifecycle, and formula slots")
		}
	}
	return out
}

func (c *compiler) tiers(d *yamlconf.Doc, at string, specs []tierSpec) []sla.Tier {
	if len(specs) == 0 {
		c.fail(d, at, nil, "is required: at least one bound and its credit")
	}
	var out []sla.Tier
	for i, t := range specs {
		p := at + "[" + strconv.Itoa(i) + "]"
		before := len(c.errs)
		if t.Below == "" || t.Credit == "" {
			c.fail(d, p, nil, "want below and credit, both in percent")
			continue
		}
		tier := sla.Tier{Below: c.share(d, p+".below", t.Below), Lost: t.Credit == "lost"}
		if tier.Lost {
			tier.Credit = complement(tier.Below) // the least that it can be
		} else {
			tier.Credit = c.share(d, p+".credit", t.Credit)
		}
		if len(c.errs) > before {
			continue
		}
		if n := len(out); n > 0 && (tier.Below.Cmp(out[n-1].Below) >= 0 || tier.Credit.Cmp(mostOf(out[n-1], tier.Below)) < 0) {
			c.fail(d, p, nil, "want bounds that fall from tier to tier, and credits that do not")
		}
		out = append(out, tier)
	}
	return out
}

// mostOf returns the greatest credit of a tier down to the bound of the next.
func mostOf(t sla.Tier, next sla.Ratio) sla.Ratio {
	if t.Lost {
		return complement(next)
	}
	return t.Credit
}

// slaStream compiles the SLI and slot of a contract's objective to a stream of
// its own; it is the objective's where nothing differs.
func (c *compiler) slaStream(d *yamlconf.Doc, at string, o *slaObjectiveSpec, loc *time.Location) *slo.Stream {
	if o.Slot == nil || o.Slot.Length == nil || o.Slot.BadWhen == "" {
		c.fail(d, at+".slot", nil, "want length and badWhen: a contract says when a slot is bad")
		return nil
	}
	s := c.slaIndicator(d, at+".sli", &o.SLI)
	if s == nil {
		return nil
	}
	before := len(c.errs)
	c.scope(d, at+".scope", o.Scope, s)
	s.Rule = c.slot(d, at+".slot", o.Slot, sla.SlotRule{}, s)
	if !aligned(s.Rule.Length, loc) {
		c.fail(d, at+".slot.length", o.Slot.Length, "slots of this length are not aligned to the clock of %s; use one that divides 15m", loc)
	}
	if len(c.errs) > before {
		return nil
	}
	return s
}

// aligned tells whether slots counted from the epoch begin at the zone's local
// midnight: its offsets of recent and coming years are multiples of the length.
func aligned(length int64, loc *time.Location) bool {
	if length <= 0 || int64(15*60_000)%length == 0 {
		return true
	}
	for year := 2020; year < 2040; year++ {
		for month := range 12 {
			_, offset := time.Date(year, time.Month(month+1), 1, 0, 0, 0, 0, loc).Zone()
			if int64(offset)*1000%length != 0 {
				return false
			}
		}
	}
	return true
}

func (c *compiler) slaIndicator(d *yamlconf.Doc, at string, s *slaIndicatorSpec) *slo.Stream {
	if s.Objective != "" {
		b := c.bases[s.Objective]
		if b == nil {
			c.fail(d, at+".objective", s.Objective, "no objective of this name is among the files (or it has mistakes itself)")
			return nil
		}
		if s.Metric != "" || s.Good != nil || s.Bad != nil || s.Total != nil || s.Op != "" || s.Value != nil || s.Vantage != nil || s.Bin != nil || len(s.Labels)+len(s.Matchers) > 0 {
			c.fail(d, at, nil, "want either objective (with groupBy and the objective's scope, if need be), or an SLI spelled out")
			return nil
		}
		out := copyStream(&b.stream)
		if s.GroupBy != nil {
			c.apply(d, at, streamSpec{GroupBy: s.GroupBy}, "", &slo.Stream{}) // checks the names
			out.GroupBy = slices.Compact(slices.Sorted(slices.Values(s.GroupBy)))
		}
		return out
	}
	return c.inlineIndicator(d, at, s)
}

func (c *compiler) inlineIndicator(d *yamlconf.Doc, at string, s *slaIndicatorSpec) *slo.Stream {
	before := len(c.errs)
	out := &slo.Stream{}
	switch {
	case s.Metric != "" && s.Good == nil && s.Bad == nil && s.Total == nil:
		out.Sample = c.selector(d, at, s.selectorSpec)
		c.compare(d, at, s.Op, s.Value, out)
		c.apply(d, at, s.streamSpec, s.Metric, out)
	case s.Metric == "" && s.Total != nil && (s.Good == nil) != (s.Bad == nil):
		out.Total = c.selector(d, at+".total", *s.Total)
		if s.Good != nil {
			out.Good = c.selector(d, at+".good", *s.Good)
		} else {
			out.Bad = c.selector(d, at+".bad", *s.Bad)
		}
		if s.Op != "" || s.Value != nil || s.Histogram || len(s.Labels)+len(s.Matchers) > 0 {
			c.fail(d, at, nil, "op, value, histogram, labels and matchers belong to a metric, not to good, bad and total")
		}
		c.apply(d, at, s.streamSpec, s.Total.Metric, out)
	default:
		c.fail(d, at, nil, "want objective; or metric, op and value; or total and either good or bad")
	}
	if len(c.errs) > before {
		return nil
	}
	return out
}

// scope narrows the stream's selections by label values.
func (c *compiler) scope(d *yamlconf.Doc, at string, labels map[string]string, s *slo.Stream) {
	for name, value := range labels {
		if !labelName.MatchString(name) {
			c.fail(d, at+"."+yamlconf.Key(name), name, "want the name of a label")
			continue
		}
		for _, sel := range []*slo.Selector{s.Sample, s.Good, s.Bad, s.Total} {
			if sel != nil {
				sel.Matchers = canonical(append(sel.Matchers, slo.Matcher{Label: name, Match: slo.Equal, Value: value}))
			}
		}
	}
}

func copyStream(s *slo.Stream) *slo.Stream {
	out := *s
	for _, sel := range []**slo.Selector{&out.Sample, &out.Good, &out.Bad, &out.Total} {
		if *sel != nil {
			*sel = &slo.Selector{Metric: (*sel).Metric, Matchers: slices.Clone((*sel).Matchers)}
		}
	}
	out.GroupBy = slices.Clone(s.GroupBy)
	return &out
}
