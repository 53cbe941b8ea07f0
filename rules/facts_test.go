package rules

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"nines/internal/sla"
	"nines/internal/sla/clauses"
)

func contractOf(t testing.TB, name string) *sla.Contract {
	t.Helper()
	set, err := Load([]string{"../configs/contracts/templates/" + name + ".yaml"})
	if err != nil {
		t.Fatal(err)
	}
	return set.Contracts[0]
}

const factsHeader = "resource,zone,start,end,state,value\n"

func TestFacts(t *testing.T) {
	f := func(template, rows string, want sla.Slots) {
		t.Helper()
		c := contractOf(t, template)
		in, err := ReadFacts("facts.csv", []byte(factsHeader+rows), c)
		if err != nil {
			t.Fatal(err)
		}
		s := clauses.Settle(c, november(c), time.UTC, in)
		if s.Slots != want {
			t.Errorf("%s: %+v, want %+v\n%s", template, s.Slots, want, rows)
		}
	}
	all := uint64(43_200)
	f("alibaba-cen", "", sla.Slots{Applicable: all, Good: all})
	f("alibaba-cen", "a,,2026-11-02T10:00:00Z,2026-11-02T10:05:30Z,down,\n", sla.Slots{Applicable: all, Good: all - 5, Bad: 5})
	// Half a minute down, half unknown: it may have been the whole.
	f("alibaba-cen", "a,,2026-11-02T10:00:00Z,2026-11-02T10:00:30Z,down,\na,,2026-11-02T10:00:30Z,2026-11-02T10:01:00Z,unknown,\n",
		sla.Slots{Applicable: all, Good: all - 1, Unknown: 1})
	f("alibaba-cen", "a,,2026-11-02T11:00:00+01:00,2026-11-02T11:01:00+01:00,loss,0.999\n", sla.Slots{Applicable: all, Good: all})
	f("alibaba-cen", "a,,2026-11-02T11:00:00+01:00,2026-11-02T11:01:00+01:00,loss,1\n", sla.Slots{Applicable: all, Good: all - 1, Bad: 1})
	f("azure-vm-premium-disk", "a,,2026-11-01T00:00:00Z,2026-11-10T09:15:30Z,stopped,\na,,2026-11-20T17:45:20Z,2026-12-01T00:00:00Z,stopped,\n",
		sla.Slots{Applicable: 14_909, Good: 14_909, NotApplicable: all - 14_909})
	f("alibaba-maxcompute", "a,,2026-11-01T00:00:00Z,2026-11-01T00:10:00Z,requests,1000:50\na,,2026-11-01T00:10:00Z,2026-11-01T00:20:00Z,requests,1000:51\na,,2026-11-01T00:20:00Z,2026-11-01T00:25:00Z,requests,0:0\n",
		sla.Slots{Applicable: 8_640, Good: 8_638, Bad: 2})
	f("alibaba-maxcompute", "a,,2026-11-01T00:00:00Z,2026-11-01T00:00:15Z,down,\na,,2026-11-01T00:10:00Z,2026-11-01T00:10:16Z,down,\n", // 5 % of 5 minutes are 15 s
		sla.Slots{Applicable: 8_640, Good: 8_639, Bad: 1})
}

func TestLatencyCountsWhatIsAboveTheThreshold(t *testing.T) {
	set, err := Compile([]Source{{"c.yaml", []byte(`apiVersion: nines/v1
kind: SLA
metadata: {name: latency}
spec:
  customer: bank
  timeZone: UTC
  period: month
  fee: {amount: "1.00", currency: USD}
  objectives:
    - name: p99
      sli: {metric: ttft_seconds, op: lte, value: 0.1}
      slot: {length: 1m, badWhen: ratio, maxRatio: 1%}
      denominator: traffic
      unknown: exclude
      aggregation: pooled
      tiers: [{below: "99", credit: "10"}]
`)}})
	if err != nil {
		t.Fatal(err)
	}
	c := set.Contracts[0]
	in, err := ReadFacts("facts.csv", []byte(factsHeader+
		"a,,2026-11-01T00:00:00Z,2026-11-01T00:01:00Z,requests,1000:0:10\n"+
		"a,,2026-11-01T00:01:00Z,2026-11-01T00:02:00Z,requests,1000:0:11\n"+
		"a,,2026-11-01T00:02:00Z,2026-11-01T00:03:00Z,requests,1000:11\n"+ // time-outs are above every threshold
		"a,,2026-11-01T00:03:00Z,2026-11-01T00:04:00Z,requests,0:0\n"), c)
	if err != nil {
		t.Fatal(err)
	}
	if s := clauses.Settle(c, november(c), time.UTC, in); s.Slots != (sla.Slots{Applicable: 3, Good: 1, Bad: 2, NotApplicable: 43_197}) {
		t.Errorf("%+v", s.Slots)
	}
}

func TestMistakesInFacts(t *testing.T) {
	var out strings.Builder
	f := func(template, text string) {
		t.Helper()
		_, err := ReadFacts("facts.csv", []byte(text), contractOf(t, template))
		if err == nil {
			t.Errorf("accepted:\n%s", text)
			return
		}
		fmt.Fprintf(&out, "%v\n", err)
	}
	row := func(text string) { t.Helper(); f("alibaba-cen", factsHeader+text+"\n") }
	f("alibaba-cen", "")
	f("alibaba-cen", "resource,start,end,state\n")
	row("a,,2026-11-02T10:00:00Z,2026-11-02T10:05:30Z,down")
	row("a,,2026-11-02 10:00,2026-11-02T10:05:30Z,down,")
	row("a,,2026-11-02T10:00:00Z,2026-11-02T10:00:00Z,down,")
	row("a,,2026-11-02T10:00:00.0001Z,2026-11-02T10:01:00Z,down,")
	row(",,2026-11-02T10:00:00Z,2026-11-02T10:01:00Z,down,")
	row("a,,2026-11-02T10:00:00Z,2026-11-02T10:01:00Z,up,")
	row("a,,2026-11-02T10:00:00Z,2026-11-02T10:01:00Z,down,1")
	row("a,,2026-11-02T10:00:00Z,2026-11-02T10:01:00Z,loss,1.5")
	row("a,,2026-11-02T10:00:00Z,2026-11-02T10:01:00Z,loss,")
	row("a,,2026-11-02T10:00:00Z,2026-11-02T10:01:00Z,requests,10")
	row("a,,2026-11-02T10:00:00Z,2026-11-02T10:01:00Z,requests,10:11")
	row("a,,2026-11-02T10:00:00Z,2026-11-02T10:01:00Z,requests,10:1:11")
	row("a,,2026-11-02T10:00:00Z,2026-11-02T10:01:00Z,requests,9999999999999999:0")
	row("a,x,2026-11-02T10:00:00Z,2026-11-02T10:01:00Z,down,\na,y,2026-11-02T11:00:00Z,2026-11-02T11:01:00Z,down,")
	row("a,,2026-11-02T10:00:00Z,2026-11-02T11:00:00Z,requests,10:1\na,,2026-11-02T10:30:00Z,2026-11-02T11:01:00Z,loss,0.5")
	row("\"a,,2026")
	row("a,,x,y,z,\n,,,,,")
	f("aws-ec2-region", factsHeader+"a,,2026-11-02T10:00:00Z,2026-11-02T10:01:00Z,down,\n")
	golden(t, "testdata/facts.txt", out.String())
}

func TestExclusionsBesideTheContract(t *testing.T) {
	c := contractOf(t, "alibaba-cen")
	x, err := ReadExclusions("x.yaml", []byte(`exclusions:
  - {start: "2026-11-02T10:00:00Z", end: "2026-11-02T11:00:00Z", effect: removed, category: maintenance, reason: cable, author: lee, approvedBy: kim}
  - {recurs: {from: "22:00", to: "02:00"}, effect: available, category: night, reason: none, author: lee}
`), c)
	if err != nil || len(x) != 2 || x[1].Recurs.To != 7_200_000 || x[1].Recurs.TimeZone != "UTC" {
		t.Errorf("%+v %v", x, err)
	}
	for _, text := range []string{"exclusions: [{start: now}]", "exclusion: []", "a: ["} {
		if _, err := ReadExclusions("x.yaml", []byte(text), c); err == nil || !strings.HasPrefix(err.Error(), "x.yaml:1:") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzFacts(f *testing.F) {
	f.Add([]byte(factsHeader + "a,,2026-11-02T10:00:00Z,2026-11-02T10:05:30Z,down,\na,,2026-11-02T10:05:30Z,2026-11-02T11:05:30Z,unknown,\n"))
	f.Add([]byte(factsHeader + "a,z,2026-11-02T10:00:00Z,2026-11-02T10:05:00Z,requests,1000:10:20\nb,y,2026-11-02T10:00:00Z,2026-11-02T10:05:00Z,loss,0.3\n"))
	f.Add([]byte(factsHeader + "a,z,0001-01-01T00:00:00Z,9999-12-31T23:59:59Z,stopped,\na,z,0001-01-01T00:00:00Z,9999-12-31T23:59:59Z,down,\n"))
	if data, err := os.ReadFile("testdata/facts.txt"); err == nil {
		f.Add(data)
	}
	var contracts []*sla.Contract
	for _, name := range []string{"alibaba-ecs-instance", "alibaba-function-compute", "aws-ec2-region", "aws-ec2-instance"} {
		contracts = append(contracts, contractOf(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, c := range contracts {
			in, err := ReadFacts("f.csv", data, c)
			if err != nil {
				if !strings.HasPrefix(err.Error(), "f.csv:") {
					t.Fatalf("without a position: %v", err)
				}
				continue
			}
			p := november(c)
			p.End = p.Start + 86_400_000
			s := clauses.Settle(c, p, time.UTC, in)
			if s.Attainment != nil && (s.Attainment.Sign() < 0 || s.Attainment.Cmp(sla.Ratio{Num: 1, Den: 1}.Rat()) > 0) {
				t.Fatalf("attainment %v", s.Attainment)
			}
			if s.Credit.Minor < s.Bounds.LowMinor || s.Credit.Minor > s.Bounds.HighMinor {
				t.Fatalf("credit %+v outside of %+v", s.Credit, s.Bounds)
			}
		}
	})
}
