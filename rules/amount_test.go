package rules

import (
	"testing"

	"nines/internal/sla"
	"nines/internal/sla/exact"
)

func TestDecimalsAreReadExactly(t *testing.T) {
	f := func(text string, want sla.Ratio) {
		t.Helper()
		if got, err := parseDecimal(text); err != nil || got != want {
			t.Errorf("%q reads %v (%v), want %v", text, got, err, want)
		}
	}
	f("0.999", sla.Ratio{Num: 999, Den: 1000})
	f("0.5", sla.Ratio{Num: 1, Den: 2})
	f("0", sla.Ratio{Num: 0, Den: 1})
	f("2.50", sla.Ratio{Num: 5, Den: 2})
	for _, bad := range []string{"", ".5", "5.", "-1", "1e3", "1.2.3", "0x1", "1234567890123456", " 1"} {
		if got, err := parseDecimal(bad); err == nil {
			t.Errorf("%q is accepted as %v", bad, got)
		}
	}
	if r, err := parsePercent("99.975"); err != nil || r != (sla.Ratio{Num: 3999, Den: 4000}) || r.String() != "99.975 %" {
		t.Errorf("99.975 %% reads %v (%v)", r, err)
	}
	if _, err := parsePercent("a"); err == nil {
		t.Error("a letter is a percentage")
	}
}

func TestAmountsKeepTheCurrencysDecimals(t *testing.T) {
	f := func(amount, currency, printed string, minor int64) {
		t.Helper()
		m, err := exact.ParseMoney(amount, currency)
		if err != nil || m.String() != printed || m.Minor != minor {
			t.Errorf("%s %s reads %d, prints %s (%v)", amount, currency, m.Minor, m, err)
		}
	}
	f("10000", "EUR", "10000.00", 1_000_000)
	f("0.5", "USD", "0.50", 50)
	f("333.335", "KWD", "333.335", 333_335)
	f("3335", "JPY", "3335", 3335)
	f("1.2345", "CLF", "1.2345", 12_345)
	for _, bad := range [][2]string{{"1.001", "EUR"}, {"1.1", "JPY"}, {"-1", "EUR"}, {"1,000", "EUR"}, {"1", "eur"}, {"1", "EURO"}, {"", "EUR"}, {".5", "EUR"}, {"1.", "EUR"}, {"999999999999999999", "EUR"}} {
		if m, err := exact.ParseMoney(bad[0], bad[1]); err == nil {
			t.Errorf("%s %s is accepted as %v", bad[0], bad[1], m)
		}
	}
}
