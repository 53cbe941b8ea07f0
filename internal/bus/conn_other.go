//go:build !linux

package bus

import "syscall"

// sockopts is for Linux; elsewhere keep-alives and request timeouts must do.
func sockopts(_, _ string, _ syscall.RawConn) error { return nil }
