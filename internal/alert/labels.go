package alert

// Says returns what nines itself says by a label of the alerts of objectives and
// contracts; not ok for a label that it leaves to groups. A group that is told
// apart by one of them would lose its own value to nines', and two groups could
// share one alert. Service, customer and reseller are told of groups that have
// none of their own.
func Says(label string) (what string, ok bool) {
	switch label {
	case "alertname":
		return "the alert's name", true
	case "severity":
		return "page, ticket or advisory", true
	case "kind":
		return "the kind of alert", true
	case "objective":
		return "the objective that is judged", true
	case "window":
		return "the window of a burn-rate row", true
	case "consumed":
		return "the share of a budget", true
	case "policy", "condition", "targets":
		return "what an alert policy asks for", true
	case "contract", "tier":
		return "the credit tier of a contract", true
	}
	return "", false
}
