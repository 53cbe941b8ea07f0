package e2e

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nines/internal/bus"
	"nines/internal/wire"
	"nines/test/kafka"
	"nines/test/ports"
	"nines/test/postgres"
)

var byTool = flag.Bool("acl-tool", false, "grant the documented rights with Kafka's own tool, which takes a second of CPU for each")

const (
	secret      = "s3cret"
	passwordEnv = "NINES_E2E_PASSWORD" // holds the secret, set by TestMain
	ownRegion   = "nines.telemetry.eu-de"
	nextRegion  = "nines.telemetry.eu-nl"
)

// guarded is an Apache Kafka where nobody may do anything unless it is granted,
// over TLS, with a user for each role.
type guarded struct {
	*testing.T
	*kafka.Cluster
	ca     *kafka.CA
	ctx    context.Context
	ledger string
	agent  string // the program
	store  string // where forward sends to
	rights []kafka.ACL
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{T: t, ca: kafka.NewCA(t), ledger: postgres.Ledger(t), agent: buildAgent(t)}
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(store.Close)
	g.store = store.URL
	for _, args := range documentedRights(t) {
		acls, err := kafka.ParseACLs(args)
		if err != nil {
			t.Fatal(err)
		}
		g.rights = append(g.rights, acls...)
	}
	users := map[string]string{"root": secret}
	for _, a := range g.rights {
		users[strings.TrimPrefix(a.Principal, "User:")] = secret
	}
	broker := g.ca.Issue("broker", time.Hour)
	g.Cluster = kafka.Start(t, kafka.Options{Security: kafka.Security{Cert: broker.Cert, Key: broker.Key, Mechanisms: []string{"SCRAM-SHA-512"},
		Users: users, ACLs: true, Audit: true, SuperUsers: []string{"User:root"}}})
	var cancel context.CancelFunc
	g.ctx, cancel = context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	return g
}

// as is a client of a user.
func (g *guarded) as(user string) *bus.Client {
	g.Helper()
	client, err := bus.New(bus.Options{Config: bus.Config{Brokers: g.Addrs(), TLS: bus.TLSConfig{CAFile: g.ca.File},
		SASL: bus.SASLConfig{Mechanism: "scram-sha-512", User: user, Password: secret}}})
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(client.Close)
	return client
}

// section is what a user's configuration says of Kafka.
func (g *guarded) section(user string) string {
	return fmt.Sprintf("kafka: {brokers: [%q], tls: {ca_file: %s}, sasl: {mechanism: scram-sha-512, user: %s, password_env: %s}}\n",
		g.Addrs()[0], g.ca.File, user, passwordEnv)
}

// collector runs roles as a user.
func (g *guarded) collector(user string, roles ...string) (*daemon, *site) {
	g.Helper()
	dir, conf := shipped(g.T)
	file := filepath.Join(conf, "nines.yaml")
	replaceIn(g.T, file, "\ntopics:\n", "\n"+g.section(user)+fmt.Sprintf("ledger: {postgres: %q}\nforward: {targets: [{name: victoria, url: %q, protocol: '1.0'}]}\ntopics:\n  formats: {%s: nines}\n", g.ledger, g.store, ownRegion))
	s := &site{dir: dir, listen: ports.Free(g.T)}
	s.url = "http://" + s.listen
	return launch(g.T, binary, "collector", "--config", file, "--data-dir", dir, "--listen", s.listen, "--roles", strings.Join(roles, ",")), s
}

func (g *guarded) runAgent() *daemon {
	g.Helper()
	file := filepath.Join(g.TempDir(), "agent.yaml")
	text := fmt.Sprintf("agent: far-away\ntopic: %s\nlabels: {zone: z1, region: eu-de}\nself_interval: 1s\nmesh: {listen: %q}\n", ownRegion, freeUDP(g.T)) + g.section("agent-eu-de")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		g.Fatal(err)
	}
	return launch(g.T, g.agent, "--config", file)
}

// freeUDP is an address that was free a moment ago.
func freeUDP(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

// grant gives all that the documentation names.
func (g *guarded) grant() {
	g.Helper()
	if !*byTool {
		if err := g.Grant(g.ctx, g.rights...); err != nil {
			g.Fatal(err)
		}
		return
	}
	for _, args := range documentedRights(g.T) {
		if _, err := g.Tool(g.ctx, kafka.ACLTool, append([]string{"--add"}, args...)...); err != nil {
			g.Fatal(err)
		}
	}
	in, err := g.ACLs(g.ctx)
	if err != nil {
		g.Fatal(err)
	}
	byText := func(a, b kafka.ACL) int { return strings.Compare(a.String(), b.String()) }
	want := slices.SortedFunc(slices.Values(g.rights), byText)
	if got := slices.SortedFunc(slices.Values(in), byText); !slices.Equal(got, want) {
		g.Errorf("Kafka's tool granted\n%v, want\n%v", got, want)
	}
}

// documentedRights are the arguments of each command in docs/security.md.
func documentedRights(t *testing.T) (all [][]string) {
	t.Helper()
	b, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if args, ok := strings.CutPrefix(line, "$acls "); ok {
			all = append(all, strings.Fields(args))
		}
	}
	if len(all) < 10 {
		t.Fatalf("docs/security.md has %d commands", len(all))
	}
	return all
}

// TestTheDocumentedRights: with the rights of docs/security.md and no more all
// roles, agents and commands work, having waited for them without a restart; and
// of the rights each is needed.
func TestTheDocumentedRights(t *testing.T) {
	t.Parallel()
	kafka.ApacheOnly(t)
	g := newGuarded(t)
	daemons := map[string]*daemon{}
	var page *site
	daemons["aggregate"], _ = g.collector("aggregate", "aggregate")
	daemons["ruler"], page = g.collector("ruler", "ruler", "web")
	daemons["evaluate"], _ = g.collector("evaluate", "evaluate")
	daemons["notify"], _ = g.collector("notify", "notify")
	daemons["forward"], _ = g.collector("forward", "forward")
	daemons["agent-eu-de"] = g.runAgent()
	for user, d := range daemons {
		d.out.says(t, "no ACL lets user "+user+" see it (DESCRIBE)")
	}
	g.grant()
	page.healthy(t)
	daemons["notify"].out.says(t, "notify is active")
	root := g.as("root")
	g.works(root, page)
	daemons["aggregate"] = g.again(daemons["aggregate"]) // it reads its checkpoints
	daemons["ruler"] = g.again(daemons["ruler"])         // it reads which alerts it left firing
	page.healthy(t)
	g.buries(root, page)
	g.republishes(daemons)
	g.people()
	for user, d := range daemons {
		if strings.Contains(d.out.String(), secret) {
			t.Errorf("%s prints a password", user)
		}
		d.interrupt(t)
	}
	g.nothingSpare()
	t.Run("agent", func(t *testing.T) { g.agentIsKeptToItsRegion(root) })
	t.Run("least", func(t *testing.T) { g.eachIsNeeded() })
}

// announced waits until the agent is in the mesh's roster.
func (g *guarded) announced(root *bus.Client) {
	g.Helper()
	eventually(g.T, 60*time.Second, "the agent is in the roster", func() error {
		n, err := root.Partitions(g.ctx, wire.TopicRoster)
		for p := range n {
			if _, next, err := root.Offsets(g.ctx, wire.TopicRoster, int32(p)); err != nil || next > 0 {
				return err
			}
		}
		return cmp.Or(err, errors.New("the roster is empty"))
	})
}

// works waits until positions move in both groups and the ruler has the series of
// the region's agent.
func (g *guarded) works(root *bus.Client, page *site) {
	g.Helper()
	g.announced(root)
	eventually(g.T, 60*time.Second, "the roles work", func() error {
		for group, topic := range map[string]string{"nines-aggregate": ownRegion, "nines-evaluate": wire.TopicPartials, "nines-forward-victoria": ownRegion} {
			if err := g.committed(root, group, topic); err != nil {
				return err
			}
		}
		var doc struct{ Data struct{ Result []any } }
		if err := page.get("/api/v1/query?query=nines_agent_info%7Bregion%3D%22eu-de%22%7D", &doc); err != nil || len(doc.Data.Result) == 0 {
			return fmt.Errorf("the ruler does not have the region's series: %w", err)
		}
		return nil
	})
}

// again starts a program anew.
func (g *guarded) again(d *daemon) *daemon {
	g.Helper()
	d.interrupt(g.T)
	return launch(g.T, d.cmd.Args[0], d.cmd.Args[1:]...)
}

func (g *guarded) committed(root *bus.Client, group, topic string) error {
	n, err := root.Partitions(g.ctx, topic)
	for p := 0; err == nil && p < n; p++ {
		var at int64
		if at, _, err = root.Committed(g.ctx, group, topic, int32(p)); err == nil && at > 0 {
			return nil
		}
	}
	return errors.Join(err, fmt.Errorf("group %s has committed nothing of %s", group, topic))
}

// buries has aggregate and evaluate send a dead letter each, which the page
// shows.
func (g *guarded) buries(root *bus.Client, page *site) {
	g.Helper()
	for _, topic := range []string{ownRegion, wire.TopicPartials} {
		if _, err := root.Producer(topic, 0).Produce(g.ctx, []bus.Record{{Value: []byte("garbage")}}); err != nil {
			g.Fatal(err)
		}
	}
	eventually(g.T, time.Minute, "the page shows both letters", func() error {
		var doc struct{ Letters []struct{ Topic string } }
		if err := page.get("/api/nines/v1/pipeline", &doc); err != nil || len(doc.Letters) < 2 {
			return fmt.Errorf("it shows %v: %w", doc.Letters, err)
		}
		return nil
	})
}

// republishes has every collector publish its own rules, each other ones.
func (g *guarded) republishes(daemons map[string]*daemon) {
	g.Helper()
	for _, user := range []string{"aggregate", "ruler", "evaluate", "notify", "forward"} {
		d := daemons[user]
		file := d.cmd.Args[slices.Index(d.cmd.Args, "--config")+1]
		replaceIn(g.T, filepath.Join(filepath.Dir(file), "objectives", "probe-latency.yaml"), "service: probes", "service: probes-of-"+user)
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			g.Fatal(err)
		}
		d.out.says(g.T, "configuration reloaded")
	}
}

// people runs the commands of an operator, and a simulation.
func (g *guarded) people() {
	g.Helper()
	user := "operator"
	f := func(want string, args ...string) {
		g.Helper()
		file := filepath.Join(g.TempDir(), user+".yaml")
		if err := os.WriteFile(file, []byte(g.section(user)), 0o600); err != nil {
			g.Fatal(err)
		}
		code, out, errs := oneShot(g.T, binary, append(args, "--config", file)...)
		if code != 0 || !strings.Contains(out, want) {
			g.Errorf("nines %s: code %d, want %q:\n%s%s", strings.Join(args, " "), code, want, out, errs)
		}
	}
	f("frame", "cat", ownRegion, "--last", "50")
	f("set", "cat", wire.TopicCheckpoints, "--last", "5")
	f("2 of 2 letters", "deadletter", "list")
	f("garbage", "deadletter", "show", "0")
	f("1 of 1 letters sent", "deadletter", "reinject", "--topic", ownRegion, "--force", "--yes")
	user = "sim"
	f("of 5 hosts", "sim", "--hosts", "5", "--duration", "1s")
}
