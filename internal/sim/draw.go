package sim

import (
	"math"
	"math/rand/v2"
	"time"

	"nines/internal/topology"
)

// z99 is the 99th percentile of the standard normal distribution.
const z99 = 2.3263478740408408

// draw returns a duration of the log-normal distribution with the spread's
// median and 99th percentile, in seconds: ln X is normal with the mean
// ln(median) and the deviation ln(p99/median)/z99.
func (s Spread) draw(dice *rand.Rand) float64 {
	sigma := math.Log(float64(s.P99)/float64(s.Median)) / z99
	return s.Median.Seconds() * math.Exp(sigma*dice.NormFloat64())
}

// poisson returns how many events happen where mean are expected: exactly for
// few (Knuth's product), by the normal approximation for many.
func poisson(dice *rand.Rand, mean float64) uint64 {
	if mean > 60 {
		return uint64(max(0, math.Round(mean+math.Sqrt(mean)*dice.NormFloat64())))
	}
	n, p, limit := uint64(0), 1.0, math.Exp(-mean)
	for {
		if p *= dice.Float64(); p <= limit {
			return n
		}
		n++
	}
}

// binomial returns how many of n fail, each with probability p. Small numbers
// are counted one by one; many are drawn as poisson does, never more than n.
func binomial(dice *rand.Rand, n uint64, p float64) (k uint64) {
	switch {
	case p <= 0 || n == 0:
		return 0
	case p >= 1:
		return n
	case n > 100 && p <= 0.5:
		return min(n, poisson(dice, float64(n)*p))
	case n > 100:
		return n - binomial(dice, n, 1-p)
	}
	for range n {
		if dice.Float64() < p {
			k++
		}
	}
	return k
}

// load returns the share of the day's peak at a place: a cosine by the sun's
// time there, which is an hour for each 15 degrees of longitude off UTC.
func (f *Fleet) load(at topology.Location, t int64) float64 {
	const day = float64(24 * time.Hour / time.Millisecond)
	local := float64(t) + at.Longitude/360*day
	phase := 2 * math.Pi * (local - float64(f.cfg.Load.Peak.Milliseconds())) / day
	return f.cfg.Load.Low + (1-f.cfg.Load.Low)*(1+math.Cos(phase))/2
}

// path returns the round trip between a host and a zone on a quiet network, in
// seconds.
func (f *Fleet) path(h *host, zone string) float64 {
	n := f.cfg.Network
	if h.zone == zone && !h.outside {
		return n.SameZone.Seconds()
	}
	z, _ := f.top.Zone(zone)
	region, _ := f.top.Region(z.Region)
	there := 2 * h.place.Distance(region.Location) * f.stretch(h.region, region.ID) / n.Speed / 1000
	if h.outside {
		return n.Access.Seconds() + there
	}
	return n.SameRegion.Seconds() + there
}

// leastStretch is the least that a detour leaves of a path's stretch: hardly any
// pair of countries is measured below it.
const leastStretch = 1.2

// stretch returns how much longer than the great circle the path between two
// regions is: the same both ways, log-normal from pair to pair.
func (f *Fleet) stretch(a, b string) float64 {
	n := f.cfg.Network
	if n.Detours == 0 || a == b {
		return n.Stretch
	}
	dice := rand.New(rand.NewPCG(mix(f.cfg.Seed, "path "+min(a, b)+" "+max(a, b)), 2))
	return max(min(leastStretch, n.Stretch), n.Stretch*math.Exp(n.Detours*dice.NormFloat64()))
}

// wait draws how long a round trip waits in queues, in seconds: mostly not.
func (n *NetworkConfig) wait(dice *rand.Rand) float64 {
	if n.Spikes.Share == 0 || dice.Float64() >= n.Spikes.Share {
		return 0
	}
	return n.Spikes.draw(dice)
}

// trip draws a round trip on a path that takes so many seconds when the network
// is quiet.
func (n *NetworkConfig) trip(dice *rand.Rand, path, load float64) float64 {
	jitter := math.Abs(dice.NormFloat64()) * n.Jitter
	return path*(1+jitter)*(1+n.Evening*load*load) + n.wait(dice)
}
