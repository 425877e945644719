# make demo   run a whole square        make test   test everything
# make build  bin/klarsyn, bin/klarsyn-vision
# make bench  benchmarks: table on screen, JSON under .bench/
# make crash N=1000   kill workers between any two steps, at least N times, and check what is left
# make lint   what reviewers should not have to say

GO      ?= go
ARGS    ?=
N       ?= 1000
LINT    := v2.15.0
SOURCES := $(shell find cmd camera retention policy api -name '*.go' -o -name '*.cpp' -o -name '*.h' -o -name '*.html' -o -name '*.css' -o -name '*.js' -o -name '*.sql' -o -name '*.csv' -o -name '*.conf' -o -name '*.yaml')

.PHONY: demo test build bench crash lint setup setup-tests clean

demo: build
	bin/klarsyn demo $(ARGS)

build: setup bin/klarsyn bin/klarsyn-vision

# klarsyn never links a video decoder: it is pure Go.
bin/klarsyn: $(SOURCES) go.mod go.sum
	CGO_ENABLED=0 $(GO) build -o $@ ./cmd/klarsyn

bin/klarsyn-vision: $(SOURCES) go.mod go.sum
	@test -f $@ || echo "building $@ (OpenCV bindings: about a minute the first time)" >&2
	CGO_ENABLED=1 $(GO) build -o $@ ./cmd/klarsyn-vision

test: setup-tests
	$(GO) vet ./...
	CGO_ENABLED=0 $(GO) vet ./cmd/klarsyn/... ./retention/... ./policy/... ./api/... ./camera ./camera/vision/... ./camera/rtsp/...
	$(GO) build -race ./... # first, so that tests with clocks do not run beside the compiler
	$(GO) test -race -timeout 20m $$($(GO) list ./... | grep -v /deploy/e2e)
	$(GO) test -timeout 20m -run '^(TestWeather.*|TestCalibrate)$$' ./camera/count # figures of more pictures than there is time for under -race
	$(GO) test -timeout 20m -run 'EveryFlippedByte' ./policy/audit/... # every byte: with the detector on only some
	$(GO) test -timeout 20m -tags crashpoints -run '^Test(Backup|Restore)Dies$$' ./cmd/klarsyn
	$(GO) test -race -timeout 20m ./deploy/e2e

bench: setup-tests build
	@GO="$(GO)" ARGS="$(ARGS)" deploy/bench.sh

# One line of JSON on standard output; progress and what is wrong on standard error.
crash: setup-tests
	@mkdir -p .bench && rm -f .bench/crash.json
	@$(GO) test -c -o .bench/crash.test ./deploy/crash
	@cd deploy/crash && ../../.bench/crash.test -test.run '^TestCampaign$$' -test.timeout 0 -kills $(N) -result $(CURDIR)/.bench/crash.json >&2; \
		code=$$?; cat $(CURDIR)/.bench/crash.json; exit $$code

lint: setup .tools/bin/golangci-lint
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "run gofmt -w on:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	.tools/bin/golangci-lint run

.tools/bin/golangci-lint:
	GOBIN=$(CURDIR)/.tools/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT)

setup:
	@deploy/setup.sh

# What tests run against: ffmpeg, PostgreSQL, MinIO, versitygw, other people's cameras.
setup-tests:
	@deploy/setup.sh --tests

clean:
	rm -rf bin .bench
