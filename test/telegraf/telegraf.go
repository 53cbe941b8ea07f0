//go:build client

// Package telegraf pins the Telegraf that test/formats builds and runs: a module
// of its own, so that none of what it needs is needed by nines.
package telegraf

import _ "github.com/influxdata/telegraf/cmd/telegraf"
