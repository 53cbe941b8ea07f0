package collector

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"nines/bench/program"
)

// gauge measures what contestants, and whatever else the machine runs, take of
// its processors from its start on. It is the evidence for what can keep up.
type gauge struct {
	began  time.Time
	own    []taker // the contestants' programs
	beside []taker // Kafka, and this process, which plays the fleet
	busy   time.Duration
}

// taker is a program that takes CPU time.
type taker struct {
	name   string
	used   func() (time.Duration, error)
	before time.Duration
}

// measureCores begins to measure the programs of a contestant.
func (s *Session) measureCores(c *watcher) (*gauge, error) {
	var own []taker
	for _, p := range c.ps {
		own = append(own, taker{name: p.Name(), used: func() (time.Duration, error) { u, err := p.Usage(); return u.CPU, err }})
	}
	return newGauge(own, []taker{
		{name: "Kafka", used: func() (time.Duration, error) { return program.CPU(s.cluster.Node(0).Pid()) }},
		{name: "the simulated fleet", used: func() (time.Duration, error) { return program.CPU(os.Getpid()) }}})
}

func newGauge(own, beside []taker) (*gauge, error) {
	g := &gauge{began: time.Now(), own: own, beside: beside}
	var err error
	if g.busy, err = program.Busy(); err != nil {
		return nil, err
	}
	for _, list := range [][]taker{own, beside} {
		for i := range list {
			if list[i].before, err = list[i].used(); err != nil {
				return nil, fmt.Errorf("read CPU time of %s: %w", list[i].name, err)
			}
		}
	}
	return g, nil
}

// read returns what the contestants' programs took together, in cores, and what
// each program took, in words.
func (g *gauge) read() (cores float64, words string, err error) {
	wall := time.Since(g.began).Seconds()
	var parts []string
	var all float64
	for n, list := range [][]taker{g.own, g.beside} {
		for i := range list {
			now, err := list[i].used()
			if err != nil {
				return 0, "", fmt.Errorf("read CPU time of %s: %w", list[i].name, err)
			}
			x := (now - list[i].before).Seconds() / wall
			all += x
			if n == 0 {
				cores += x
			}
			parts = append(parts, fmt.Sprintf("%s %.2f", list[i].name, x))
		}
	}
	busy, err := program.Busy()
	rest := max(0, (busy-g.busy).Seconds()/wall-all)
	return cores, fmt.Sprintf("%s, everything else on the machine %.2f, of %d cores", strings.Join(parts, ", "), rest, runtime.NumCPU()), err
}
