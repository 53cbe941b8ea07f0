package alert

import "testing"

// TestLabelsLeftToGroups: what an alert says by itself is nobody else's to say;
// whose a group is, it says itself.
func TestLabelsLeftToGroups(t *testing.T) {
	for _, name := range []string{"alertname", "severity", "kind", "objective", "window", "consumed", "policy", "condition", "targets", "contract", "tier"} {
		if what, ok := Says(name); !ok || what == "" {
			t.Errorf("%s is left to groups", name)
		}
	}
	for _, name := range []string{"service", "customer", "reseller", "region", "target", ""} {
		if _, ok := Says(name); ok {
			t.Errorf("%q is kept from groups", name)
		}
	}
}
