package host

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"nines/internal/telemetry"
)

// tcpStates are the kernel's states of TCP sockets from 1 on, as fields of
// Telegraf's netstat input. A socket that is taking a request counts as
// SYN_RECV, as ss(8) shows it.
var tcpStates = [...]string{"established", "syn_sent", "syn_recv", "fin_wait1", "fin_wait2", "time_wait",
	"close", "close_wait", "last_ack", "listen", "closing", "syn_recv"}

// Netstat counts sockets by state from /proc/net/tcp, tcp6, udp and udp6.
// Telegraf's netstat input also walks the open files of every process, counts
// Unix sockets among tcp_none and udp_socket, and sockets that share their
// addresses once; here each socket counts once and Unix sockets not at all.
type Netstat struct {
	tcp, udp []file
	table    table
	state    [len(tcpStates) + 1]int // kernel state → position
}

// NewNetstat returns the reader.
func NewNetstat(r Roots) *Netstat {
	dir := r.fill().Proc + "/net/"
	n := &Netstat{tcp: []file{{path: dir + "tcp"}, {path: dir + "tcp6"}}, udp: []file{{path: dir + "udp"}, {path: dir + "udp6"}}}
	at := map[string]int{}
	for i, s := range tcpStates {
		if _, ok := at[s]; !ok {
			at[s] = len(n.table.series)
			n.table.add("netstat_tcp_"+s, telemetry.Gauge, nil)
		}
		n.state[i+1] = at[s]
	}
	n.table.add("netstat_tcp_none", telemetry.Gauge, nil)
	n.table.add("netstat_udp_socket", telemetry.Gauge, nil)
	return n
}

// Close closes the files.
func (n *Netstat) Close() error {
	for i := range n.tcp {
		n.tcp[i].close()
		n.udp[i].close()
	}
	return nil
}

// Read measures once.
func (n *Netstat) Read() ([]telemetry.Series, []float64, error) {
	v := n.table.values
	clear(v)
	err := eachSocket(n.tcp, func(state uint64) {
		if state > 0 && state < uint64(len(n.state)) {
			v[n.state[state]]++
		} else {
			v[len(v)-2]++
		}
	})
	if err == nil {
		err = eachSocket(n.udp, func(uint64) { v[len(v)-1]++ })
	}
	if err != nil {
		return nil, nil, fmt.Errorf("count sockets: %w", err)
	}
	return n.table.result()
}

// eachSocket hands over the state of every socket. A missing file is a protocol
// that this host does not have.
func eachSocket(files []file, f func(state uint64)) error {
	for i := range files {
		data, err := files[i].read()
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		_, data = cutLine(data)
		for len(data) > 0 {
			var line []byte
			line, data = cutLine(data)
			for range 3 {
				_, line = cutField(line)
			}
			st, _ := cutField(line)
			if len(st) == 2 {
				f(hex(st[0])<<4 | hex(st[1]))
			}
		}
	}
	return nil
}

func hex(c byte) uint64 {
	switch {
	case c >= '0' && c <= '9':
		return uint64(c - '0')
	case c >= 'A' && c <= 'F':
		return uint64(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return uint64(c-'a') + 10
	}
	return 0
}
