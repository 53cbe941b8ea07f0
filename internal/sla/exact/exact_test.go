package exact

import "testing"

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
	f := func(m Money, printed string) {
		t.Helper()
		if m.String() != printed {
			t.Errorf("%d minor units of %s print %s, want %s", m.Minor, m.Currency, m, printed)
		}
	}
	f(Money{1_000_000, "EUR"}, "10000.00")
	f(Money{333_335, "KWD"}, "333.335")
	f(Money{3335, "JPY"}, "3335")
	f(Money{12_345, "CLF"}, "1.2345")
	if s := (Money{-5, "EUR"}).String(); s != "-0.05" {
		t.Errorf("minus five cents prints %s", s)
	}
	if m := (Money{100, "EUR"}).Times(Ratio{}.Rat()); m.Minor != 0 {
		t.Errorf("no share of a euro is %v", m)
	}
}
