package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"nines/collector/aggregate"
	"nines/collector/decode"
	"nines/internal/broker"
	"nines/internal/bus"
	"nines/internal/rulelog"
	"nines/internal/wire"
)

// This program starts itself again as other programs, so that the CPU time of
// each is its own process's. An environment variable says as which.
const (
	// brokerEnv makes it a broker with its data in the folder named.
	brokerEnv = "NINES_BENCH_BROKER"
	// roleEnv makes it a collector with the role aggregate; it names the broker.
	roleEnv = "NINES_BENCH_ROLE"
	// linesEnv says that what comes without headers is line protocol.
	linesEnv = "NINES_BENCH_LINES"
	// scaleEnv makes it one of several collectors; it holds a scaledConf.
	scaleEnv = "NINES_BENCH_SCALE"
	// profileEnv names the file for the collector's CPU profile.
	profileEnv = "NINES_BENCH_PROFILE"
)

// child runs as what the environment says, if it says anything.
func child() (was bool, err error) {
	if dir := os.Getenv(brokerEnv); dir != "" {
		return true, serveBroker(dir)
	}
	if addr := os.Getenv(roleEnv); addr != "" {
		return true, serveRole(addr)
	}
	if conf := os.Getenv(scaleEnv); conf != "" {
		return true, serveScaled(conf)
	}
	return false, nil
}

// startChild starts this program with the environment variables and returns its
// standard output; stop ends it.
func startChild(ctx context.Context, env ...string) (out *bufio.Reader, stop func(), err error) {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", env[0], err)
	}
	return bufio.NewReader(pipe), func() {
		in.Close() // the child ends with its standard input
		cmd.Wait()
	}, nil
}

// childBroker starts a broker with its data in dir.
func childBroker(ctx context.Context, dir string) (addr string, stop func(), err error) {
	out, stop, err := startChild(ctx, brokerEnv+"="+dir)
	if err != nil {
		return "", nil, err
	}
	line, err := out.ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("start broker: %w", err)
	}
	return strings.TrimSpace(line), stop, nil
}

// serveBroker is the broker: it serves until its standard input ends.
func serveBroker(dir string) error {
	b, err := broker.New(broker.Options{Config: broker.Config{DataDir: dir, RetentionBytes: 4 << 30}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-b.Ready():
			fmt.Println(b.Addr())
			io.Copy(io.Discard, os.Stdin)
			cancel()
		case <-ctx.Done():
		}
	}()
	return b.Run(ctx)
}

// childRole lets a fresh collector read the log, of frames or of lines, to its
// end, and returns the CPU time that this took.
func childRole(ctx context.Context, addr string, lines bool) (time.Duration, error) {
	env := []string{roleEnv + "=" + addr}
	if lines {
		env = append(env, linesEnv+"=1")
	}
	out, stop, err := startChild(ctx, env...)
	if err != nil {
		return 0, err
	}
	defer stop()
	line, err := out.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("run the role: %w", err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return time.Duration(ns), err
}

// serveRole is the collector. What it costs to start the process is not
// counted, what it costs to join the group and to read the rules is.
func serveRole(addr string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	stopProfile, err := profile("")
	if err != nil {
		return err
	}
	defer stopProfile()
	start, err := cpuTime()
	if err != nil {
		return err
	}
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: []string{addr}}})
	if err != nil {
		return err
	}
	defer client.Close()
	rules := rulelog.New(client)
	if err := rules.Load(ctx); err != nil {
		return err
	}
	formats := map[string]decode.Format{}
	if os.Getenv(linesEnv) != "" {
		formats[wire.TopicTelemetry] = decode.Influx
	}
	set := metrics.NewSet()
	role, err := aggregate.New(aggregate.Options{Client: client, Rules: rules, Formats: formats, Owner: "bench", Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), Metrics: set})
	if err != nil {
		return err
	}
	rctx, end := context.WithCancel(ctx)
	defer end()
	done := make(chan error, 1)
	go func() { done <- role.Run(rctx) }()
	for !caughtUp(set) {
		select {
		case err := <-done:
			return errors.Join(errors.New("the role ended"), err)
		case <-ctx.Done():
			return errors.New("the role did not catch up within 5 minutes")
		case <-time.After(20 * time.Millisecond):
		}
	}
	stop, err := cpuTime()
	if err != nil {
		return err
	}
	end()
	err = <-done
	fmt.Println(int64(stop - start))
	return err
}

// profile writes a CPU profile to the file that the environment names, if it
// does, until stop is called.
func profile(suffix string) (stop func(), err error) {
	file := os.Getenv(profileEnv)
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file + suffix)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

// caughtUp tells whether every partition has been read to its end.
func caughtUp(set *metrics.Set) bool {
	var b strings.Builder
	set.WritePrometheus(&b)
	for p := range benchPartitions {
		if !strings.Contains(b.String(), fmt.Sprintf("nines_aggregate_lag_records{partition=\"%d\"} 0\n", p)) {
			return false
		}
	}
	return true
}
