package notary

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"nines/internal/ledger"
)

// Proof is what an outsider gets: a signed checkpoint, and the way from what it
// signs to a group's slots of one hour.
type Proof struct {
	// Checkpoint is the signed note.
	Checkpoint string         `json:"checkpoint"`
	Leaves     []ledger.Proof `json:"leaves"`
}

// ParseProof reads a proof, strictly.
func ParseProof(b []byte) (*Proof, error) {
	var p Proof
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return nil, fmt.Errorf("read proof: %w", err)
	}
	if dec.More() {
		return nil, errors.New("read proof: something follows it")
	}
	if len(p.Leaves) == 0 {
		return nil, errors.New("read proof: it proves nothing")
	}
	return &p, nil
}

// Check tells whether the proof holds under one of the keys, and returns its
// checkpoint. It needs no ledger.
func (p *Proof) Check(keys note.Verifiers) (*Checkpoint, error) {
	c, err := Open([]byte(p.Checkpoint), keys)
	if err != nil {
		return nil, fmt.Errorf("check proof: checkpoint: %w", err)
	}
	for i := range p.Leaves {
		if err := checkLeaf(&p.Leaves[i], c.Tree); err != nil {
			return nil, fmt.Errorf("check proof: leaf %d: %w", i+1, err)
		}
	}
	return c, nil
}

func checkLeaf(l *ledger.Proof, tree tlog.Tree) error {
	if err := tlog.CheckRecord(l.Proof, tree.N, tree.Hash, l.Number, tlog.RecordHash([]byte(l.Hour))); err != nil {
		return fmt.Errorf("the hour is not in the checkpoint's log: %w", err)
	}
	hour, groups, root, err := parseHour(l.Hour)
	if err != nil {
		return err
	}
	if groups != l.Groups {
		return fmt.Errorf("the hour has %d groups, the proof says %d", groups, l.Groups)
	}
	if err := tlog.CheckRecord(l.MemberProof, groups, root, l.Member, tlog.RecordHash([]byte(l.Leaf))); err != nil {
		return fmt.Errorf("the slots are not in the hour: %w", err)
	}
	if !strings.HasPrefix(l.Leaf, "nines slots 1\n") || !strings.Contains(l.Leaf, "\nhour "+hour+"\n") {
		return errors.New("the slots are of another hour")
	}
	return nil
}

// parseHour reads the text of a leaf of the log.
func parseHour(text string) (hour string, groups int64, root tlog.Hash, err error) {
	lines := strings.Split(text, "\n")
	bad := errors.New("the hour is not the text of a logged hour")
	if len(lines) != 6 || lines[0] != "nines hour 1" || lines[5] != "" {
		return "", 0, root, bad
	}
	hour, ok1 := strings.CutPrefix(lines[1], "hour ")
	n, ok2 := strings.CutPrefix(lines[3], "groups ")
	r, ok3 := strings.CutPrefix(lines[4], "root ")
	if !ok1 || !ok2 || !ok3 {
		return "", 0, root, bad
	}
	if groups, err = strconv.ParseInt(n, 10, 64); err == nil {
		root, err = tlog.ParseHash(r)
	}
	if err != nil || groups < 1 {
		return "", 0, root, bad
	}
	return hour, groups, root, nil
}
