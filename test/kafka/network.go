package kafka

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// network is a bridge with one network namespace for each node. Its addresses
// are of the range for tests of network devices (RFC 2544), which no network
// routes; it exists on this machine alone.
type network struct {
	name   string // of the bridge; namespaces and links add a dash and a number
	number int
}

func newNetwork(nodes int, undo *undoer) (*network, error) {
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, errors.New("the program ip is not installed (test/setup installs Debian's package iproute2)")
	}
	w, err := claimBridge()
	if err != nil {
		return nil, err
	}
	undo.later("ip link del %s", w.name)
	steps := []string{
		fmt.Sprintf("addr add 198.18.%d.1/24 dev %s", w.number, w.name),
		fmt.Sprintf("link set %s up", w.name),
	}
	for i := range nodes {
		ns, far := w.space(i), w.space(i)+"i"
		undo.later("ip netns del %s", ns)
		undo.later("ip link del %s 2>/dev/null || true", ns) // else it stays as long as the namespace has connections
		steps = append(steps, "netns add "+ns,
			fmt.Sprintf("link add %s type veth peer name %s netns %s", ns, far, ns),
			fmt.Sprintf("link set %s master %s up", ns, w.name),
			fmt.Sprintf("-n %s link set lo up", ns),
			fmt.Sprintf("-n %s addr add %s/24 dev %s", ns, w.address(i), far),
			fmt.Sprintf("-n %s link set %s up", ns, far))
	}
	for _, s := range steps {
		if err := ip(s); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// claimBridge makes the first bridge that is not there: two processes get two.
func claimBridge() (*network, error) {
	var err error
	for n := range 250 {
		w := &network{name: fmt.Sprintf("nk%d", n), number: n}
		if err = ip("link add " + w.name + " type bridge"); err == nil {
			return w, nil
		}
		if !strings.Contains(err.Error(), "exists") {
			break
		}
	}
	return nil, err
}

func ip(args string) error {
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, out)
	}
	return nil
}

func (w *network) space(node int) string { return fmt.Sprintf("%s-%d", w.name, node+1) }

func (w *network) address(node int) string { return fmt.Sprintf("198.18.%d.%d", w.number, node+11) }

// within runs the command in the node's namespace, as the same process.
func (w *network) within(node int, cmd *exec.Cmd) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", w.space(node)}, cmd.Args...)...)
}

// Cut parts the node from all others and from its clients: packets vanish,
// connections stay open. The cluster must be Isolated.
func (n *Node) Cut() error { return n.link("down") }

// Heal ends a Cut.
func (n *Node) Heal() error { return n.link("up") }

func (n *Node) link(state string) error {
	if n.c.net == nil {
		return errors.New("cut a node off: the cluster is not Isolated")
	}
	return ip(fmt.Sprintf("link set %s %s", n.c.net.space(n.id-1), state))
}
