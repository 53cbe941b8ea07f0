package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	client "github.com/segmentio/kafka-go"
)

// ACL lets one principal do one operation on topics or groups.
type ACL struct {
	// Principal is "User:name"; Operation is as ACLTool names it: Read, Write,
	// Create, Describe.
	Principal, Operation string
	// Kind is topic or group, Name its name, or how names begin where Prefixed.
	Kind, Name string
	Prefixed   bool
}

// String returns it as a line for people.
func (a ACL) String() string {
	name := a.Name
	if a.Prefixed {
		name += "*"
	}
	return fmt.Sprintf("%s may %s %s %s", a.Principal, a.Operation, a.Kind, name)
}

// Allows tells whether the ACL lets do what another line says, which names one
// topic or group. Reading and writing include describing.
func (a ACL) Allows(what ACL) bool {
	named := a.Name == what.Name || a.Prefixed && strings.HasPrefix(what.Name, a.Name)
	done := a.Operation == what.Operation || what.Operation == "Describe" && (a.Operation == "Read" || a.Operation == "Write")
	return a.Principal == what.Principal && a.Kind == what.Kind && named && done
}

// ParseACLs reads arguments of ACLTool after --add: each principal gets each
// operation on each topic and group.
func ParseACLs(args []string) (out []ACL, err error) {
	given := map[string][]string{}
	for i := 0; i+1 < len(args); i += 2 {
		given[args[i]] = append(given[args[i]], args[i+1])
	}
	pattern := strings.Join(given["--resource-pattern-type"], " ")
	for _, principal := range given["--allow-principal"] {
		for _, operation := range given["--operation"] {
			for _, kind := range []string{"topic", "group"} {
				for _, name := range given["--"+kind] {
					out = append(out, ACL{Principal: principal, Operation: operation, Kind: kind, Name: name, Prefixed: pattern == "prefixed"})
				}
			}
		}
	}
	for _, known := range []string{"--allow-principal", "--operation", "--topic", "--group", "--resource-pattern-type"} {
		delete(given, known)
	}
	if len(given) > 0 || len(args)%2 != 0 || len(out) == 0 || pattern != "" && pattern != "prefixed" {
		return nil, fmt.Errorf("read ACLs: cannot read %q", args)
	}
	return out, nil
}

func (a ACL) entry() (client.ACLEntry, error) {
	e := client.ACLEntry{ResourceName: a.Name, ResourcePatternType: client.PatternTypeLiteral, Principal: a.Principal, Host: "*",
		PermissionType: client.ACLPermissionTypeAllow}
	if a.Prefixed {
		e.ResourcePatternType = client.PatternTypePrefixed
	}
	return e, errors.Join(e.Operation.UnmarshalText([]byte(a.Operation)), e.ResourceType.UnmarshalText([]byte(a.Kind)))
}

// Grant adds ACLs, which hold a moment later.
func (c *Cluster) Grant(ctx context.Context, acls ...ACL) error {
	req := &client.CreateACLsRequest{}
	for _, a := range acls {
		e, err := a.entry()
		if err != nil {
			return fmt.Errorf("grant: %s: %w", a, err)
		}
		req.ACLs = append(req.ACLs, e)
	}
	a, done := c.admin()
	defer done()
	return retry(ctx, "grant", func() error { // at first the client may not know the controller
		r, err := a.CreateACLs(ctx, req)
		if err != nil {
			return err
		}
		return errors.Join(r.Errors...)
	})
}

// Revoke takes ACLs back.
func (c *Cluster) Revoke(ctx context.Context, acls ...ACL) error {
	req := &client.DeleteACLsRequest{}
	for _, a := range acls {
		e, err := a.entry()
		if err != nil {
			return fmt.Errorf("revoke: %s: %w", a, err)
		}
		req.Filters = append(req.Filters, client.DeleteACLsFilter{ResourceTypeFilter: e.ResourceType, ResourceNameFilter: e.ResourceName,
			ResourcePatternTypeFilter: e.ResourcePatternType, PrincipalFilter: e.Principal, HostFilter: e.Host, Operation: e.Operation, PermissionType: e.PermissionType})
	}
	a, done := c.admin()
	defer done()
	return retry(ctx, "revoke", func() error {
		r, err := a.DeleteACLs(ctx, req)
		if err != nil {
			return err
		}
		for _, res := range r.Results {
			err = errors.Join(err, res.Error)
		}
		return err
	})
}

// ACLs are those in force, in no order.
func (c *Cluster) ACLs(ctx context.Context) (out []ACL, err error) {
	a, done := c.admin()
	defer done()
	r, err := a.DescribeACLs(ctx, &client.DescribeACLsRequest{Filter: client.ACLFilter{ResourceTypeFilter: client.ResourceTypeAny,
		ResourcePatternTypeFilter: client.PatternTypeAny, Operation: client.ACLOperationTypeAny, PermissionType: client.ACLPermissionTypeAny}})
	if err == nil {
		err = r.Error
	}
	if err != nil {
		return nil, fmt.Errorf("list ACLs: %w", err)
	}
	for _, res := range r.Resources {
		for _, e := range res.ACLs {
			out = append(out, ACL{Principal: e.Principal, Operation: e.Operation.String(), Kind: strings.ToLower(res.ResourceType.String()),
				Name: res.ResourceName, Prefixed: res.PatternType == client.PatternTypePrefixed})
		}
	}
	return out, nil
}

// Decision is what a broker with Security.Audit was asked by a client, and said.
type Decision struct {
	ACL
	// Request is Kafka's name of the request, such as PRODUCE.
	Request string
	Allowed bool
}

// Decisions are those of all nodes' present lives, each once, in the order in
// which they were first made. What nodes ask one another is not among them.
func (c *Cluster) Decisions() (out []Decision) {
	seen := map[Decision]bool{}
	for _, n := range c.nodes {
		for line := range strings.Lines(n.text()) {
			if d, ok := decision(line); ok && !seen[d] {
				seen[d] = true
				out = append(out, d)
			}
		}
	}
	return slices.DeleteFunc(out, func(d Decision) bool { return d.Principal == "User:ANONYMOUS" })
}

// decision reads a line of Kafka's audit log: "Principal = User:x is Allowed
// operation = READ from host = 127.0.0.1 on resource = Topic:LITERAL:name for
// request = Fetch with resourceRefCount = 1 based on rule ...".
func decision(line string) (d Decision, ok bool) {
	between := func(from, to string) string {
		_, rest, _ := strings.Cut(line, from)
		text, _, found := strings.Cut(rest, to)
		ok = ok && found
		return text
	}
	ok = true
	d.Principal = between("Principal = ", " is ")
	d.Allowed = strings.Contains(line, " is Allowed ")
	operation := between("operation = ", " from host")
	resource := strings.SplitN(between("on resource = ", " for request"), ":", 3)
	d.Request = strings.ToUpper(between("for request = ", " with "))
	if !ok || len(resource) != 3 || operation == "" {
		return d, false
	}
	d.Operation = operation[:1] + strings.ToLower(operation[1:])
	d.Kind, d.Name = strings.ToLower(resource[0]), resource[2]
	return d, true
}
