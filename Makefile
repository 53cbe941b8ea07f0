# nines: build, run and test. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 60s
RUNS ?= 5
DURATION ?= 10m

# Packages whose tests run under the race detector in every `make test`. The
# others link SQLite, Prometheus, Alertmanager or Telegraf, which takes minutes
# to build for it, play whole months, or compute without a goroutine; `make race`
# runs them all.
LIGHT = $(shell go list ./internal/... ./agent/probe ./agent/discovery ./agent/spool ./agent/gpu ./collector/aggregate | grep -v 'internal/ledger\|internal/replay\|internal/scenario$$\|internal/sla')

# Packages whose tests need a broker and take the one that NINES_KAFKA names: the
# embedded one, or Apache Kafka.
BROKERED = ./internal/bus ./internal/rulelog ./collector/aggregate ./collector/evaluate ./collector/ruler ./alerting ./agent ./test/postgres

# Tests of the real processes that are about what goes over Kafka and take no
# minutes on Apache Kafka.
PROCESSES = TestKillNine|TestCleanStops|TestKafkaComesLater|TestTheDocumentedRights

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ui ## build bin/nines and bin/nines-agent, the web page included
	@mkdir -p bin
	go build -ldflags '$(LDFLAGS)' -o bin/nines ./cmd/nines
	go build -ldflags '$(LDFLAGS)' -o bin/nines-agent ./cmd/nines-agent

.PHONY: ui
ui: web/dist/index.html

web/dist/index.html: web/ui/node_modules/.stamp $(shell find web/ui/src web/ui/public web/ui/index.html web/ui/vite.config.ts -type f 2>/dev/null)
	cd web/ui && npm run --silent build

web/ui/node_modules/.stamp: web/ui/package-lock.json
	cd web/ui && npm ci --silent --no-audit --no-fund
	@touch $@

.PHONY: run
run: build ## build everything and run it here: http://127.0.0.1:9999
	@exec bin/nines up

# What `make test` runs, one after the other: tests that are held to seconds fail
# where stages share two cores. Within a stage what waits runs in parallel. All of
# them run to their end whichever fails.
STAGES = test-page test-packages test-race test-processes test-apache test-apache-processes

.PHONY: test
test: setup build ## run all tests, setting up what they need
	@$(MAKE) --no-print-directory --keep-going $(STAGES)

.PHONY: $(STAGES)
test-page:
	cd web/ui && npm run --silent check && npm test --silent

test-packages:
	go test -timeout 20m -p 2 -parallel 3 $$(go list ./... | grep -v '^nines/test/')

# The vet of test-packages is enough for the same files.
test-race:
	go test -race -vet=off -timeout 20m $(LIGHT)

test-processes:
	go test -count=1 -timeout 20m -p 2 -parallel 4 ./test/...

test-apache: # the longest first
	NINES_KAFKA=apache go test -count=1 -vet=off -timeout 20m -p 2 -parallel 3 ./test/torture $(BROKERED)

test-apache-processes:
	NINES_KAFKA=apache go test -count=1 -vet=off -timeout 20m -parallel 2 -run '$(PROCESSES)' ./test/e2e

.PHONY: setup
setup:
	@test/setup

.PHONY: race
race: setup build ## run all Go tests under the race detector
	go test -race ./...

.PHONY: torture
torture: setup ## for DURATION (10m) on each kind of broker: kill everything and compare with the truth; then a whole quiet night
	DURATION=$(DURATION) go test -count=1 -v -timeout 0 -run TestExactness ./test/torture
	NINES_KAFKA=apache DURATION=$(DURATION) go test -count=1 -v -timeout 0 -run TestExactness ./test/torture
	NINES_KAFKA=apache3 DURATION=$(DURATION) go test -count=1 -v -timeout 0 -run TestExactness ./test/torture
	go test -count=1 -v -timeout 0 -run 'TestANight|TestOutages' ./test/quiet -whole -limit $(or $(DURATION),10m)

.PHONY: faults
faults: setup ## every fault of Kafka on a cluster of three nodes, then the suites that need a broker on such a cluster
	NINES_KAFKA=apache3 FAULTS=all go test -count=1 -v -timeout 30m -run TestFaults ./test/torture
	NINES_KAFKA=apache3 go test -count=1 -timeout 60m -p 1 -parallel 2 -skip TestFaults $(BROKERED) ./test/torture

.PHONY: fuzz
fuzz: ## fuzz every target for FUZZTIME (60s)
	@test/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## measure: prints a table, writes bench/results.json (ONLY=name,name RUNS=5)
	go run ./bench -runs $(RUNS) -only '$(ONLY)'

# Figures against other programs, by name: make compare ONLY=vs_prometheus RUNS=3.
VERSUS = vs_telegraf_native,vs_telegraf_line,telegraf_defaults_samples_per_second,vs_victoriametrics_vmalert,vs_prometheus,detect_p99_seconds,vs_detect_defaults,detect_fleet_p99_seconds,vs_detect_fleet_defaults

.PHONY: compare
compare: ## measure side by side with other programs, about half an hour: writes bench/RESULTS.md (ONLY=name,name RUNS=5)
	go run ./bench -runs $(RUNS) -only '$(or $(ONLY),$(VERSUS))' -report bench/RESULTS.md

.PHONY: footprint
footprint: ## measure nines-agent side by side with Telegraf, about ten minutes: writes bench/AGENT.md (RUNS=5)
	go run ./bench -runs $(RUNS) -only agent_cpu_ratio_1s,agent_rss_ratio,agent_bytes_ratio,agent_cpu_ratio_10s -report bench/AGENT.md

.PHONY: lint
lint: ## gofmt, go vet, staticcheck
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	@test -e web/dist || mkdir -p web/dist
	go vet ./...
	cd tools && go build -o ../bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	bin/staticcheck ./...

.PHONY: clean
clean: ## remove what was built, never data
	rm -rf bin web/dist/assets web/dist/index.html web/ui/node_modules test/browser/node_modules bench/results.json
