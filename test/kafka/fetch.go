package kafka

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// poms name what is fetched, with versions.
//
//go:embed pom/broker.xml pom/tools.xml
var poms embed.FS

const (
	copyGoal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
	// minJava is the oldest Java that a broker of version 4 runs on.
	minJava = 17
)

// install is where the jars lie and what runs them.
type install struct {
	dir, java string
	version   int // Java's
}

// fetched returns the jars, fetched through Maven if this user's cache does not
// have them yet. Processes that need them at the same time take turns. Every
// error of it means that Apache Kafka cannot be had here.
func fetched() (*install, error) {
	in := &install{java: "java"}
	if home := os.Getenv("JAVA_HOME"); home != "" {
		in.java = filepath.Join(home, "bin", "java")
	}
	var err error
	if in.version, err = javaVersion(in.java); err != nil {
		return nil, err
	}
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	base = filepath.Join(base, "nines")
	sum := sha256.New()
	for _, name := range []string{"broker", "tools"} {
		sum.Write(pom(name))
	}
	in.dir = filepath.Join(base, fmt.Sprintf("kafka-%x", sum.Sum(nil)[:6]))
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(in.dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(in.dir); errors.Is(err, os.ErrNotExist) {
		err = fetch(base, in.dir)
		if err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(in.archive()); errors.Is(err, os.ErrNotExist) {
		if err := in.makeArchive(); err != nil {
			return nil, fmt.Errorf("start Apache Kafka for the first time: %w", err)
		}
	}
	return in, nil
}

func pom(name string) []byte {
	b, err := poms.ReadFile("pom/" + name + ".xml")
	if err != nil {
		panic(err) // it is embedded
	}
	return b
}

// fetch copies the jars that the poms name below dir, all or nothing.
func fetch(base, dir string) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return errors.New("mvn is not installed (test/setup installs Debian's package maven)")
	}
	tmp, err := os.MkdirTemp(base, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	fmt.Fprintf(os.Stderr, "fetching Apache Kafka from Maven Central into %s, 80 MB, once\n", dir)
	for _, name := range []string{"broker", "tools"} {
		file := filepath.Join(tmp, name+".xml")
		if err := os.WriteFile(file, pom(name), 0o644); err != nil {
			return err
		}
		cmd := exec.Command(mvn, "-B", "-q", "-f", file, copyGoal, "-DincludeScope=runtime", "-DoutputDirectory="+filepath.Join(tmp, name))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("fetch Apache Kafka through Maven: %w: %s", err, bytes.TrimSpace(out))
		}
	}
	return os.Rename(tmp, dir)
}

var javaSays = regexp.MustCompile(`version "(\d+)`)

func javaVersion(java string) (int, error) {
	out, err := exec.Command(java, "-version").CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("no Java %d is installed (test/setup installs Debian's package)", minJava)
	}
	m := javaSays.FindSubmatch(out)
	if err != nil || m == nil {
		return 0, fmt.Errorf("ask %s for its version: %v: %s", java, err, bytes.TrimSpace(out))
	}
	n, _ := strconv.Atoi(string(m[1])) // digits, by the pattern
	if n < minJava {
		return 0, fmt.Errorf("%s is Java %d; Apache Kafka 4 needs %d", java, n, minJava)
	}
	return n, nil
}

// archive holds the classes of a started broker as the Java machine keeps them
// in memory, which saves a third of each start.
func (in *install) archive() string {
	return filepath.Join(in.dir, fmt.Sprintf("broker-java%d.jsa", in.version))
}

// makeArchive runs a broker once and keeps the classes that it loaded.
func (in *install) makeArchive() error {
	tmp := in.archive() + ".tmp"
	c, err := launch(in, Options{java: []string{"-XX:ArchiveClassesAtExit=" + tmp}})
	if err != nil {
		return err
	}
	if err := errors.Join(c.Node(0).Stop(), c.Close()); err != nil {
		return err
	}
	if _, err := os.Stat(tmp); err != nil { // this Java keeps none: starts are slower
		return os.WriteFile(in.archive(), nil, 0o644)
	}
	return os.Rename(tmp, in.archive())
}

// command runs a main class of the broker's jars or of the tools'.
func (in *install) command(ctx context.Context, jars string, flags []string, class string, args ...string) *exec.Cmd {
	all := []string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto", "-Xlog:disable", "-Xlog:all=error:stderr",
		"-Djava.net.preferIPv4Stack=true", "-cp", filepath.Join(in.dir, jars, "*")}
	if st, err := os.Stat(in.archive()); err == nil && st.Size() > 0 && jars == "broker" {
		all = append(all, "-XX:SharedArchiveFile="+in.archive())
	}
	all = append(append(append(all, flags...), class), args...)
	return exec.CommandContext(ctx, in.java, all...)
}

// version is what the jar of the running broker says of itself.
func versionIn(log string) string {
	_, rest, ok := strings.Cut(log, "Kafka version: ")
	if !ok {
		return ""
	}
	return "Apache Kafka " + strings.Fields(rest)[0]
}
