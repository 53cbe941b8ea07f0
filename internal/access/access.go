// Package access says who may see which customer's data. Every ledger read
// takes a Principal from the first day, so that no caller can forget to ask.
package access

// Principal is who asks. The zero value sees nothing.
type Principal struct {
	// Name is written to audit records.
	Name string
	// Operator sees everything.
	Operator bool
	// Customers are the customers whose data it sees, when not an operator.
	Customers []string
}

// Local is the principal of the command line and of the loopback UI on the
// operator's own host.
func Local() Principal { return Principal{Name: "local", Operator: true} }

// Sees tells whether the principal may read data of the customer. Data that
// belongs to no customer ("") is the operator's alone.
func (p Principal) Sees(customer string) bool {
	if p.Operator {
		return true
	}
	if customer == "" {
		return false
	}
	for _, c := range p.Customers {
		if c == customer {
			return true
		}
	}
	return false
}
