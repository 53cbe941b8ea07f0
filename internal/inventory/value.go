package inventory

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"nines/internal/sla"
	"nines/internal/sla/exact"
)

// Words that stand in place of a value wherever facts are written.
const (
	// None says that the attribute has no value from the instant on.
	None = "none"
	// Withdrawn says that the fact of this instant never held.
	Withdrawn = "withdrawn"
)

// maxText is the longest name or label value, in bytes.
const maxText = 512

// ParseValue reads the value of an attribute as people write it and returns it
// in the one form in which it is stored.
func ParseValue(a Attribute, text string) (string, error) {
	switch a {
	case Match:
		labels, err := ParseMatch(text)
		if err == nil && len(labels) == 0 {
			err = errors.New("want at least one label")
		}
		return FormatMatch(labels), err
	case State:
		if text != Running && text != Stopped && text != Suspended {
			return "", errors.New("want running, stopped or suspended")
		}
		return text, nil
	case Fee:
		m, err := ParseFee(text)
		if err != nil {
			return "", err
		}
		return FormatFee(m), nil
	}
	if !slices.Contains(Attributes(), a) {
		return "", fmt.Errorf("there is no attribute %s; there are %s", strconv.Quote(string(a)), names())
	}
	return text, plain(text)
}

// fact makes a fact of an attribute's text.
func fact(resource string, a Attribute, from int64, text string) (Fact, error) {
	f := Fact{Resource: resource, Attribute: a, From: from}
	var err error
	switch {
	case text == Withdrawn:
		f.Withdrawn = true
	case text == None && a == State, text == None && a == Match:
		err = fmt.Errorf("want a value: a resource always has a %s", a)
	case text == None:
	default:
		f.Value, err = ParseValue(a, text)
	}
	return f, err
}

// Text returns the value as people write it.
func (f *Fact) Text() string {
	switch {
	case f.Withdrawn:
		return Withdrawn
	case f.Value == "":
		return None
	}
	return f.Value
}

func names() string {
	var out []string
	for _, a := range Attributes() {
		out = append(out, string(a))
	}
	return strings.Join(out, ", ")
}

// plain refuses what is no name: empty, too long, not UTF-8, with control
// characters or spaces around it.
func plain(text string) error {
	switch {
	case text == "":
		return errors.New("is empty: leave it out, or write " + None)
	case len(text) > maxText:
		return fmt.Errorf("want at most %d bytes", maxText)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("want plain text without control characters")
	case strings.TrimSpace(text) != text:
		return errors.New("want no space before or after it")
	}
	return nil
}

// ParseFee reads an amount and a currency of ISO 4217, such as 100.00 USD.
func ParseFee(text string) (sla.Money, error) {
	amount, currency, ok := strings.Cut(text, " ")
	if !ok {
		return sla.Money{}, errors.New("want an amount and a currency, such as 100.00 USD")
	}
	m, err := exact.ParseMoney(amount, currency)
	if err == nil && !slices.Contains(strings.Fields(currencies), currency) {
		err = fmt.Errorf("%s is no currency of ISO 4217", currency)
	}
	return m, err
}

// FormatFee returns the amount with all its decimals, and the currency.
func FormatFee(m sla.Money) string { return m.String() + " " + m.Currency }

// currencies are the codes of ISO 4217 for money that a fee can be in.
const currencies = `AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD
CAD CDF CHF CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD
HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA
MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF
SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYI UYU UYW
UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG`

// FormatMatch writes labels in the order of their names: target="a",zone="b".
func FormatMatch(labels map[string]string) string {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(labels)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(name + "=" + strconv.Quote(labels[name]))
	}
	return b.String()
}

// ParseMatch reads what FormatMatch writes; quotes may be left out around values
// without commas and quotes.
func ParseMatch(text string) (map[string]string, error) {
	labels := map[string]string{}
	for rest := text; rest != ""; {
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			return nil, fmt.Errorf("want label=value, with commas between them")
		}
		var value string
		if strings.HasPrefix(after, `"`) {
			quoted, err := strconv.QuotedPrefix(after)
			if err != nil {
				return nil, fmt.Errorf("label %s: the quote does not end", name)
			}
			value, _ = strconv.Unquote(quoted) // a quoted prefix is quoted well
			after = after[len(quoted):]
			if after != "" && after[0] != ',' {
				return nil, fmt.Errorf("label %s: want a comma after its value", name)
			}
			_, after, _ = strings.Cut(after, ",")
		} else {
			value, after, _ = strings.Cut(after, ",")
		}
		if err := label(labels, name, value); err != nil {
			return nil, err
		}
		rest = after
	}
	return labels, nil
}

// label adds a label to a match.
func label(labels map[string]string, name, value string) error {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) || name[0] >= '0' && name[0] <= '9' {
		return fmt.Errorf("%s is no name of a label", strconv.Quote(name))
	}
	if _, twice := labels[name]; twice {
		return fmt.Errorf("label %s is given twice", name)
	}
	if err := plain(value); err != nil {
		return fmt.Errorf("label %s: %w", name, err)
	}
	labels[name] = value
	return nil
}
