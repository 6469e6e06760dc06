# Every target, in one line each: make help

export GOTOOLCHAIN := auto
SHELL := /bin/bash
TOOL := go tool -modfile=tools/go.mod
PACKAGES ?= ./...

.PHONY: help build run test race proof lint fmt generate verify bench conformance

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/chatelaine, a static program
	CGO_ENABLED=0 go build -trimpath -o bin/chatelaine ./cmd/chatelaine

run: build ## build, then start the server on https://localhost:8443 with its data in ./data
	bin/chatelaine serve

test: ## install what tests need, check everything, run every test
	scripts/install-test-deps
	scripts/check-format
	go vet $(PACKAGES)
	go vet -C tools ./... && go test -C tools ./...
	$(MAKE) --no-print-directory lint verify conformance
	$(MAKE) --no-print-directory proof
	$(MAKE) --no-print-directory race

race: ## run every test with the race detector, without installing or checking anything else
	go build -C tools -o ../bin/testreport ./testreport
	bin/testreport -race -timeout 30m $(PACKAGES)

PROOFS := ./test/altered/...

proof: ## run, without the race detector, the tests that do much less under it
	go build -C tools -o ../bin/testreport ./testreport
	bin/testreport -timeout 10m $(PROOFS)
	CHATELAINE_BATCH=10000 bin/testreport -timeout 10m -run 'ABatchOverAllProfiles|WhateverProfileIsKilled' ./internal/pki

lint: ## run the linters that .golangci.yml lists
	$(TOOL) golangci-lint run $(PACKAGES)

fmt: ## format every Go file
	$$(go env GOROOT)/bin/gofmt -w $$(git ls-files '*.go')

generate: ## write generated files again: templates, docs/dependencies.txt
	scripts/generate

verify: ## fail when a generated file is not what make generate writes
	scripts/verify-generated

bench: ## run the benchmarks
	go test -run '^$$' -bench . -benchmem -timeout 2h $(PACKAGES)

conformance: build ## run Microsoft's own Key Vault test suites against a started server
	test/conformance/run
