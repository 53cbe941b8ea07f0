package kafka

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Kafka's tools by the names of their main classes, for Tool.
const (
	TopicTool  = "org.apache.kafka.tools.TopicCommand"
	ACLTool    = "org.apache.kafka.tools.AclCommand"
	ConfigTool = "kafka.admin.ConfigCommand"
	GroupTool  = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	QuorumTool = "org.apache.kafka.tools.MetadataQuorumCommand"
	DeleteTool = "org.apache.kafka.tools.DeleteRecordsCommand"
)

// Tool runs one of Kafka's command-line tools against the cluster, with all
// rights, and returns what it prints. It takes a second of CPU time.
func (c *Cluster) Tool(ctx context.Context, class string, args ...string) (string, error) {
	var at []string
	for _, n := range c.nodes {
		at = append(at, net.JoinHostPort(n.host, strconv.Itoa(n.internal)))
	}
	all := append([]string{"--bootstrap-server", strings.Join(at, ",")}, args...)
	cmd := c.in.command(ctx, "tools", []string{"-Xmx96m", "-Dlog4j2.level=ERROR"}, class, all...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("run %s %s: %w: %s", class, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Allow lets a principal ("User:name") do operations ("Write", "Describe") on
// what the resource names: "--topic nines.telemetry", "--group aggregate".
func (c *Cluster) Allow(ctx context.Context, principal string, operations []string, resource ...string) error {
	args := []string{"--add", "--allow-principal", principal}
	for _, o := range operations {
		args = append(args, "--operation", o)
	}
	_, err := c.Tool(ctx, ACLTool, append(args, resource...)...)
	return err
}

// SetPassword makes a SCRAM user, or changes the password.
func (c *Cluster) SetPassword(ctx context.Context, mechanism, name, password string) error {
	_, err := c.Tool(ctx, ConfigTool, "--alter", "--add-config", fmt.Sprintf("%s=[password=%s]", mechanism, password),
		"--entity-type", "users", "--entity-name", name)
	return err
}

// DeleteRecords removes what lies before an offset of each topic's partition 0
// from the log, as retention does when its time has come.
func (c *Cluster) DeleteRecords(ctx context.Context, before map[string]int64) error {
	type partition struct {
		Topic     string `json:"topic"`
		Partition int    `json:"partition"`
		Offset    int64  `json:"offset"`
	}
	var all []partition
	for topic, offset := range before {
		all = append(all, partition{topic, 0, offset})
	}
	text, err := json.Marshal(map[string]any{"partitions": all, "version": 1})
	if err != nil {
		return err
	}
	file := filepath.Join(c.dir, "delete-records.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	out, err := c.Tool(ctx, DeleteTool, "--offset-json-file", file)
	if err == nil && strings.Contains(strings.ToLower(out), "error") { // it ends with 0 all the same
		err = fmt.Errorf("delete records: %s", out)
	}
	return err
}
