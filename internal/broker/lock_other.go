//go:build !unix

package broker

import (
	"fmt"
	"os"
)

// lockDir creates the directory if need be. It cannot keep a second process out
// on this operating system.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create broker data directory %s: %w", dir, rootCause(err))
	}
	return func() {}, nil
}
