//go:build server

// Package victoriametrics pins the VictoriaMetrics that test/remotewrite and
// bench/collector build and run, and the vmalert of the latter: a module of its
// own, so that none of what it needs is needed by nines.
package victoriametrics

import (
	_ "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics"
	_ "github.com/VictoriaMetrics/VictoriaMetrics/app/vmalert"
)
