module nines/test/victoriametrics

go 1.26.0

require github.com/VictoriaMetrics/VictoriaMetrics v1.110.0
