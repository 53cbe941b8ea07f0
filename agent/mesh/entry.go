package mesh

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of what others write into the roster.
const (
	maxEntry = 2048 // bytes
	maxName  = 255
	maxValid = time.Hour
)

// seat is a place in the roster: one of a zone's slots.
type seat struct {
	zone string
	slot int
}

// key is the record's key.
func (s seat) key() string { return s.zone + "/" + strconv.Itoa(s.slot) }

func parseSeat(key string) (seat, error) {
	i := strings.LastIndexByte(key, '/')
	if i < 1 {
		return seat{}, fmt.Errorf("key %q is not zone/slot", key)
	}
	n, err := strconv.Atoi(key[i+1:])
	s := seat{key[:i], n}
	if err != nil || n < 0 || n >= maxSlots || s.key() != key {
		return seat{}, fmt.Errorf("key %q is not zone/slot with a slot below %d", key, maxSlots)
	}
	return s, nil
}

// entry is a host in its seat.
type entry struct {
	host      Host
	boot      string
	announced int64 // Unix ms
	validFor  time.Duration
}

// until is when it expires, Unix ms.
func (e *entry) until() int64 { return e.announced + e.validFor.Milliseconds() }

// entryDoc is an entry as the roster has it.
type entryDoc struct {
	Host      string  `json:"host"`
	Region    string  `json:"region,omitempty"`
	Zone      string  `json:"zone"`
	Address   string  `json:"address"`
	Boot      string  `json:"boot"`
	Announced int64   `json:"announced"` // Unix ms
	ValidFor  float64 `json:"valid_for"` // seconds
}

func (e *entry) encode() []byte {
	b, err := json.Marshal(entryDoc{
		Host: e.host.Name, Region: e.host.Region, Zone: e.host.Zone, Address: e.host.Addr.String(),
		Boot: e.boot, Announced: e.announced, ValidFor: e.validFor.Seconds(),
	})
	if err != nil {
		panic(err) // strings and finite numbers always marshal
	}
	return b
}

// parseEntry reads a record's value. Anybody with the right may have written it.
func parseEntry(b []byte) (entry, error) {
	if len(b) > maxEntry {
		return entry{}, fmt.Errorf("%d bytes are no entry", len(b))
	}
	var d entryDoc
	if err := json.Unmarshal(b, &d); err != nil {
		return entry{}, fmt.Errorf("read entry: %w", err)
	}
	if !isName(d.Host) || !isName(d.Zone) || d.Region != "" && !isName(d.Region) || len(d.Boot) > maxName {
		return entry{}, errors.New("read entry: host, zone or region is missing or no name")
	}
	at, err := netip.ParseAddrPort(d.Address)
	if err != nil {
		return entry{}, fmt.Errorf("read entry: address: %w", err)
	}
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	if err := usable(at.Addr()); err != nil || at.Port() == 0 {
		return entry{}, fmt.Errorf("read entry: address %q: %w", d.Address, err)
	}
	if !(d.ValidFor > 0 && d.ValidFor <= maxValid.Seconds()) || d.Announced < 0 || d.Announced > 1<<52 {
		return entry{}, errors.New("read entry: announced or valid_for is out of bounds")
	}
	return entry{
		host: Host{Name: d.Host, Region: d.Region, Zone: d.Zone, Addr: at},
		boot: d.Boot, announced: d.Announced, validFor: time.Duration(d.ValidFor * float64(time.Second)),
	}, nil
}

// isName tells whether a string can be a label's value that people read.
func isName(s string) bool {
	return s != "" && len(s) <= maxName && utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}
