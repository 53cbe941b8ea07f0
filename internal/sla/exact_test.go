package sla

import "testing"

func TestDecimalsAreReadExactly(t *testing.T) {
	f := func(text string, want Ratio) {
		t.Helper()
		if got, err := ParseDecimal(text); err != nil || got != want {
			t.Errorf("%q reads %v (%v), want %v", text, got, err, want)
		}
	}
	f("0.999", Ratio{999, 1000})
	f("0.5", Ratio{1, 2})
	f("0", Ratio{0, 1})
	f("2.50", Ratio{5, 2})
	for _, bad := range []string{"", ".5", "5.", "-1", "1e3", "1.2.3", "0x1", "1234567890123456", " 1"} {
		if got, err := ParseDecimal(bad); err == nil {
			t.Errorf("%q is accepted as %v", bad, got)
		}
	}
	if r, err := ParsePercent("99.975"); err != nil || r != (Ratio{3999, 4000}) || r.String() != "99.975 %" {
		t.Errorf("99.975 %% reads %v (%v)", r, err)
	}
	if _, err := ParsePercent("a"); err == nil {
		t.Error("a letter is a percentage")
	}
}

func TestPercentagesAreTruncatedNeverRounded(t *testing.T) {
	f := func(r Ratio, want string) {
		t.Helper()
		if got := r.Percent(); got != want {
			t.Errorf("%d/%d prints %q, want %q", r.Num, r.Den, got, want)
		}
	}
	f(Ratio{99_999_999, 100_000_000}, "99.99999")
	f(Ratio{999_999_999, 1_000_000_000}, "99.99999")
	f(Ratio{1, 1}, "100.00000")
	f(Ratio{3, 2}, "100.00000")
	f(Ratio{0, 7}, "0.00000")
	f(Ratio{1 << 63, 1<<64 - 1}, "50.00000")
	f(Ratio{}, "")
	if s := (Ratio{}).String(); s != "no value" {
		t.Errorf("no value prints %q", s)
	}
	if (Ratio{1<<64 - 1, 1<<64 - 2}).Cmp(Ratio{1<<64 - 2, 1<<64 - 1}) != 1 || (Ratio{1, 3}).Cmp(Ratio{2, 6}) != 0 {
		t.Error("comparison is not exact")
	}
}

func TestMoneyKeepsTheCurrencysDecimals(t *testing.T) {
	f := func(amount, currency, printed string, minor int64) {
		t.Helper()
		m, err := ParseMoney(amount, currency)
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
		if m, err := ParseMoney(bad[0], bad[1]); err == nil {
			t.Errorf("%s %s is accepted as %v", bad[0], bad[1], m)
		}
	}
	if s := (Money{-5, "EUR"}).String(); s != "-0.05" {
		t.Errorf("minus five cents prints %s", s)
	}
	if m := (Money{100, "EUR"}).times(Ratio{}); m.Minor != 0 {
		t.Errorf("no share of a euro is %v", m)
	}
	if names := []string{Good.String(), Bad.String(), Unknown.String(), Open.String(), State(9).String()}; names[4] != "invalid" || names[3] != "open" {
		t.Errorf("states are called %v", names)
	}
}
