package framing

import "github.com/cespare/xxhash/v2"

// Partition returns the telemetry partition of a host: a zone's hosts share a
// stripe of half of the partitions, so that a zone's groups meet in few
// partials, and the host's name picks the place within the stripe. Hosts
// without a zone spread over all. An agent keeps its partition for a boot.
func Partition(zone, host string, partitions int) int32 {
	if partitions <= 1 {
		return 0
	}
	p := uint64(partitions)
	if zone == "" {
		return int32(xxhash.Sum64String(host) % p)
	}
	stripe := (p + 1) / 2
	return int32((xxhash.Sum64String(zone)%p + xxhash.Sum64String(host)%stripe) % p)
}
