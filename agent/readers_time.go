package agent

import (
	"time"

	"nines/agent/telegraf"
	"nines/agent/timesync"
)

// chronyd leaves the input out where no chronyd is installed and none is named.
// One that does not run yet may come.
func (r replacer) chronyd(p *telegraf.Chronyd) (telegraf.Reader, error) {
	if why := timesync.MissingChrony(); p.Server == "" && why != "" {
		return nil, telegraf.Absent("%s", why)
	}
	return timesync.NewChrony(timesync.ChronyOptions{Server: p.Server, Timeout: time.Duration(p.Timeout)})
}

func (r replacer) ntp(p *telegraf.NTP) (telegraf.Reader, error) {
	return timesync.NewNTP(timesync.NTPOptions{Servers: p.Servers, Poll: time.Duration(p.Poll), Timeout: time.Duration(p.Timeout)})
}
