// Package hush keeps the libraries that a program links from writing to its
// standard error before main: VictoriaMetrics/metrics prints a line there, from
// the initialisation of a variable, on every host whose kernel counts no
// pressure, which is many. With it each command would begin with a line about
// something that nobody asked for, and a log in JSON with one that is none.
//
// It works because Go initialises a package as soon as what it imports is: this
// one, which imports os and log alone, comes before all that import more.
package hush

import (
	"log"
	"os"
)

// stderr is the process's own. What is nil was never taken away.
var stderr = hold()

// hold gives libraries another standard error. A panic is still heard: the
// runtime writes to the descriptor.
func hold() *os.File {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil
	}
	was := os.Stderr
	os.Stderr = null
	log.SetOutput(null)
	return was
}

// End is the first line of main: from here on standard error is heard.
func End() {
	if stderr == nil {
		return
	}
	os.Stderr = stderr
	log.SetOutput(stderr)
}
