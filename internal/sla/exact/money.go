package exact

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Money is an amount in minor units of a currency (cents, fils, yen).
type Money struct {
	Minor    int64  `json:"minor"`
	Currency string `json:"currency"`
}

// exponents are the decimals of the currencies that have not two (ISO 4217).
const exponents = "0:BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF 3:BHD IQD JOD KWD LYD OMR TND 4:CLF UYW"

// Exponent returns how many decimals the currency's minor unit has.
func Exponent(currency string) int {
	n := 2
	for _, field := range strings.Fields(exponents) {
		if digit, code, ok := strings.Cut(field, ":"); ok {
			n = int(digit[0] - '0')
			field = code
		}
		if field == currency {
			return n
		}
	}
	return 2
}

// String returns the amount with the currency's decimals and without its name:
// 1000.00.
func (m Money) String() string {
	places, sign, minor := Exponent(m.Currency), "", m.Minor
	if minor < 0 {
		sign, minor = "-", -minor
	}
	if places == 0 {
		return fmt.Sprintf("%s%d", sign, minor)
	}
	unit := int64(pow10(places))
	return fmt.Sprintf("%s%d.%0*d", sign, minor/unit, places, minor%unit)
}

// Times returns the share of the amount, truncated to the minor unit. The share
// is from 0 to 1; nothing of a debt.
func (m Money) Times(share *big.Rat) Money {
	if m.Minor <= 0 {
		return Money{0, m.Currency}
	}
	n := new(big.Int).Mul(big.NewInt(m.Minor), share.Num())
	return Money{min(n.Quo(n, share.Denom()).Int64(), m.Minor), m.Currency}
}

// ParseMoney reads a non-negative amount such as 10000.00 in the currency, three
// capital letters of ISO 4217. More decimals than the currency has are refused.
func ParseMoney(amount, currency string) (Money, error) {
	if len(currency) != 3 || strings.Trim(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return Money{}, fmt.Errorf("want a currency of three capital letters (ISO 4217), not %q", currency)
	}
	places := Exponent(currency)
	whole, fraction, dot := strings.Cut(amount, ".")
	if whole == "" || (dot && fraction == "") || strings.Trim(whole+fraction, "0123456789") != "" {
		return Money{}, fmt.Errorf("want an amount such as 10000.00")
	}
	if len(fraction) > places {
		return Money{}, fmt.Errorf("%s has %d decimals", currency, places)
	}
	minor, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", places-len(fraction)), 10, 64)
	if err != nil || minor > 100_000_000_000_000_000 {
		return Money{}, fmt.Errorf("want an amount below 10^17 minor units")
	}
	return Money{Minor: minor, Currency: currency}, nil
}
