package kafka

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const log4j = `Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout: {pattern: "[%d{HH:mm:ss.SSS}] %p %m (%c{1})%n"}
  Loggers:
    Root:
      level: INFO
      AppenderRef: {ref: STDOUT}
    Logger:
      - {name: kafka.server.KafkaConfig, level: WARN}
      - {name: org.apache.kafka.common.config.AbstractConfig, level: WARN}
`

// audit makes the log hold what clients were let do as well as what not.
const audit = `      - {name: kafka.authorizer.logger, level: DEBUG}
`

func (n *Node) properties() string { return filepath.Join(n.dir, "server.properties") }

// configure writes the node's configuration.
func (n *Node) configure() error {
	p := n.base()
	if err := n.c.o.Security.configure(p, n.dir); err != nil {
		return err
	}
	maps.Copy(p, n.c.o.Config)
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s=%s\n", k, strings.ReplaceAll(p[k], `\`, `\\`))
	}
	logging := log4j
	if n.c.o.Security.Audit {
		logging += audit
	}
	if err := os.WriteFile(filepath.Join(n.dir, "log4j2.yaml"), []byte(logging), 0o644); err != nil {
		return err
	}
	return os.WriteFile(n.properties(), []byte(b.String()), 0o600)
}

// base is what every node has: three listeners, small pools, copies as the
// number of nodes allows, and no waits that serve larger clusters.
func (n *Node) base() map[string]string {
	var voters []string
	for _, o := range n.c.nodes {
		voters = append(voters, fmt.Sprintf("%d@%s:%d", o.id, o.host, o.controller))
	}
	copies := len(n.c.nodes)
	inSync := copies/2 + 1
	client := fmt.Sprintf("CLIENT://%s:%d", n.host, n.client)
	internal := fmt.Sprintf("INTERNAL://%s:%d", n.host, n.internal)
	return map[string]string{
		"process.roles":                  "broker,controller",
		"node.id":                        strconv.Itoa(n.id),
		"controller.quorum.voters":       strings.Join(voters, ","),
		"listeners":                      fmt.Sprintf("%s,%s,CONTROLLER://%s:%d", client, internal, n.host, n.controller),
		"advertised.listeners":           client + "," + internal,
		"listener.security.protocol.map": "CLIENT:" + n.c.o.Security.protocol() + ",INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name":     "INTERNAL",
		"controller.listener.names":      "CONTROLLER",
		"log.dirs":                       n.DataDir(),

		"default.replication.factor":     strconv.Itoa(copies),
		"min.insync.replicas":            strconv.Itoa(inSync),
		"unclean.leader.election.enable": "false",
		"auto.create.topics.enable":      "false",

		"offsets.topic.replication.factor":                 strconv.Itoa(copies),
		"offsets.topic.num.partitions":                     strconv.Itoa(copies),
		"transaction.state.log.replication.factor":         strconv.Itoa(copies),
		"transaction.state.log.min.isr":                    strconv.Itoa(inSync),
		"share.coordinator.state.topic.replication.factor": strconv.Itoa(copies),
		"share.coordinator.state.topic.min.isr":            strconv.Itoa(inSync),

		"broker.session.timeout.ms": "5000", // what docs/operate.md tells operators to set

		"group.initial.rebalance.delay.ms": "0",
		"num.network.threads":              "2",
		"num.io.threads":                   "2",
		"background.threads":               "2",
		"log.cleaner.dedupe.buffer.size":   "4194304",
		"log.segment.delete.delay.ms":      "1000",
	}
}
