# One place for what people, CI and `sam build` run. `make` alone lists the
# targets. The versions of all tools are pinned here and nowhere else, but for
# the lock files of what tests run on Node; nothing below .tools/ is needed to
# build, to run locally or to test what needs no tool.

GOLANGCI_LINT := v2.15.0
DYNOXIDE      := 3.2.0
DYNALITE      := 4.0.0
CFN_LINT      := 1.58.0
MOTO          := 5.2.5
BOTO3         := 1.44.5
PYJWT         := 2.15.1

FUNCTIONS := AuthorizeFunction CallbackFunction RefreshFunction ConnectionsFunction

# Lambda runs arm64 (template.yaml); a test on another machine asks for its own.
GOARCH ?= arm64
# Deployment of samconfig.toml: dev, staging or prod.
ENV ?= dev
# A bootstrap above this, in bytes, is a slower cold start: look at its imports.
MAX_BOOTSTRAP := 12000000

TOOLS  := $(CURDIR)/.tools
STAMPS := .tools/stamps
VENV   := .tools/venv
# Tests look for the DynamoDB emulator on PATH.
export PATH := $(TOOLS)/bin:$(PATH)

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' $(MAKEFILE_LIST) | expand -t 12

# --- Build ---------------------------------------------------------------------

# SAM calls build-<Function> with ARTIFACTS_DIR; by hand they land in build/.
# lambda.norpc drops a transport that this runtime does not use; the rest makes
# two builds of one source the same bytes, so that SAM deploys only what changed.
BUILDS := $(FUNCTIONS:%=build-%)

.PHONY: build $(BUILDS)
build: $(BUILDS) ## Build the four functions into build/ (GOARCH=amd64 for another machine)

$(BUILDS): out = $(or $(ARTIFACTS_DIR),build/$(@:build-%=%))
$(BUILDS): folder = $(shell printf '%s' '$*' | tr '[:upper:]' '[:lower:]')
$(BUILDS): build-%Function:
	@mkdir -p '$(out)'
	CGO_ENABLED=0 GOOS=linux GOARCH=$(GOARCH) go build -tags lambda.norpc -trimpath -buildvcs=false \
		-ldflags '-s -w -buildid=' -o '$(out)/bootstrap' ./functions/$(folder)

.PHONY: run
run: ## Start Evergrant on this machine with simulated providers
	go run ./cmd/evergrant local

.PHONY: deploy
deploy: ## Build and deploy with the SAM CLI (ENV=dev, staging or prod)
	@command -v sam >/dev/null || { echo 'make deploy needs the AWS SAM CLI: pip install aws-sam-cli' >&2; exit 1; }
	sam build
	sam deploy --config-env $(ENV)

# --- Test ----------------------------------------------------------------------

.PHONY: test
test: ## Run all tests, in random order, with the race detector
	@test -n "$$DYNAMODB_ENDPOINT" || command -v dynoxide >/dev/null || command -v dynalite >/dev/null || \
		echo 'No DynamoDB emulator: what needs one is skipped. `make tools` installs it.'
	@test -x $(VENV)/bin/python3 || echo 'No Secrets Manager fake: the built functions are not run. `make tools` installs it.'
	@test -e $(STAMPS)/recipes || echo 'No libraries of the recipes: the programs of README.md are not run. `make tools` installs them.'
	@test -n "$$CHROMIUM" || command -v chromium >/dev/null || echo 'No Chromium: the pages are not opened in a browser. Install the package chromium.'
	go test -race -shuffle=on ./...

# `make test` checks the model with one attempt of each worker, which takes seconds.
.PHONY: model
model: ## Check the model of the refresh with two attempts of each worker: a minute, 1 GB, needs spin
	@command -v spin >/dev/null || { echo 'make model needs spin: apt-get install spin' >&2; exit 1; }
	MODEL_ATTEMPTS=2 go test -count=1 -v ./internal/refreshmodel

# `make test` plays the schedules with one fault.
.PHONY: faults
faults: ## Play the refresh through every schedule of FAULTS=2 faults; three take ten minutes or more
	FAULTS=$(or $(FAULTS),2) go test -count=1 -v -run TestEveryScheduleOfFaults ./internal/refresh

# `make test` does this for the store in memory.
.PHONY: mutate
mutate: ## Play the stores without each of their conditions: some test must fail. A minute or two
	MUTATE=all go test -count=1 -v ./internal/mutate

# Every fuzz target that there is, each for FUZZTIME; `make test` plays their
# seeds alone. A run that ends at its time may say "context deadline exceeded" in
# Go 1.26 (golang/go#75804): that is no finding, since a finding names its input.
FUZZTIME ?= 3s
.PHONY: fuzz
fuzz: ## Fuzz what strangers send: every target for FUZZTIME=3s
	@grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9]*' cmd functions internal pkg | sort | while IFS=: read -r file target; do \
		dir=$$(dirname "$$file"); target=$${target#func }; \
		echo "$$dir $$target"; \
		out=$$(go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "./$$dir" 2>&1) || \
			{ echo "$$out" | grep -q '^    context deadline exceeded$$' && ! echo "$$out" | grep -q 'Failing input'; } || \
			{ echo "$$out" >&2; exit 1; }; \
	done

.PHONY: bench
bench: ## Count what each step costs: calls, writes, memory
	go test -run '^$$' -bench . -benchmem ./...

# FLAGS='--help' lists what can be asked.
.PHONY: simulate
simulate: ## Play sweeps in virtual time: what is late, what a month costs; FLAGS='--connections 5000 --outage 1h-2h:hanging' for own questions
	go run ./internal/capacity/cmd $(FLAGS)

# `make test` runs the built functions and the browser, too, but for these.
.PHONY: proof
proof: ## Kill the built functions at every call, give them a broken network and every bad input, click through all pages: some minutes
	go test -count=1 -tags proof ./internal/lambdatest ./internal/local ./internal/battery

.PHONY: million
million: ## Play a million connections in virtual time: none is late, an outage marks none, no rate is exceeded
	go test -count=1 -v -run 'Million|Model|FanOut' ./internal/capacity

# --- Check ---------------------------------------------------------------------

.PHONY: check
check: check-format check-vet check-lint check-tidy check-template check-size ## Run everything else that CI runs

.PHONY: check-format
check-format:
	@out=$$(gofmt -l .); test -z "$$out" || { echo "not formatted, run gofmt -w on:" >&2; echo "$$out" >&2; exit 1; }

.PHONY: check-vet
check-vet:
	go vet ./...

.PHONY: check-lint
check-lint: tool-golangci-lint
	$(TOOLS)/bin/golangci-lint run ./...

.PHONY: check-tidy
check-tidy:
	go mod tidy -diff

.PHONY: check-template
check-template: tool-cfn-lint
	$(VENV)/bin/cfn-lint --include-checks I --template template.yaml

# Of the arm64 builds that are deployed, whatever this machine is.
.PHONY: check-size
check-size:
	@$(MAKE) --no-print-directory GOARCH=arm64 ARTIFACTS_DIR= build
	@for f in $(FUNCTIONS); do \
		size=$$(wc -c < build/$$f/bootstrap); \
		echo "$$f: $$((size)) of $(MAX_BOOTSTRAP) bytes"; \
		test $$size -lt $(MAX_BOOTSTRAP) || { echo "$$f is too large: see what it imports with go list -deps" >&2; exit 1; }; \
	done

.PHONY: tool-golangci-lint tool-cfn-lint
tool-golangci-lint:
	@test -e $(STAMPS)/golangci-lint-$(GOLANGCI_LINT) || { echo 'golangci-lint $(GOLANGCI_LINT) is not there: run make tools' >&2; exit 1; }
tool-cfn-lint:
	@test -e $(STAMPS)/python-$(PYTHON) || { echo 'cfn-lint $(CFN_LINT) is not there: run make tools' >&2; exit 1; }

# --- Tools ---------------------------------------------------------------------

# A stamp bears its version, so that a new pin installs and an old one does not.
PYTHON := $(CFN_LINT)-$(MOTO)-$(BOTO3)-$(PYJWT)
EMULATOR := $(DYNOXIDE)-$(DYNALITE)

.PHONY: tools
tools: $(STAMPS)/golangci-lint-$(GOLANGCI_LINT) $(STAMPS)/python-$(PYTHON) $(STAMPS)/emulator-$(EMULATOR) $(STAMPS)/oidc-provider $(STAMPS)/recipes ## Install the pinned tools into .tools/ (make -j3 tools is quicker)

$(STAMPS)/golangci-lint-$(GOLANGCI_LINT):
	GOBIN='$(TOOLS)/bin' go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	@mkdir -p $(STAMPS) && touch $@

# moto stands for Secrets Manager in tests, never for DynamoDB: its conditional
# writes let two winners through. boto3 and PyJWT are what the recipes use.
$(STAMPS)/python-$(PYTHON):
	python3 -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check \
		cfn-lint==$(CFN_LINT) 'moto[server]==$(MOTO)' boto3==$(BOTO3) pyjwt==$(PYJWT)
	@mkdir -p $(STAMPS) && touch $@

# dynoxide is the faithful emulator; dynalite stands in where Rust cannot be had.
$(STAMPS)/emulator-$(EMULATOR):
	@mkdir -p $(TOOLS)/bin $(STAMPS)
	@if command -v cargo >/dev/null && cargo install --quiet --locked dynoxide-rs --version $(DYNOXIDE) \
			--no-default-features --features native-sqlite,http-server,cli --root '$(TOOLS)'; then \
		echo 'DynamoDB emulator: dynoxide $(DYNOXIDE)'; \
	else \
		npm install --silent --no-save --prefix '$(TOOLS)' dynalite@$(DYNALITE) && \
		ln -sf ../node_modules/.bin/dynalite '$(TOOLS)/bin/dynalite' && \
		echo 'DynamoDB emulator: dynalite $(DYNALITE), since cargo did not make dynoxide'; \
	fi
	@touch $@

# What tests run on Node: an authorization server that nobody here wrote, for
# internal/peers, and the libraries of the recipes, for internal/recipes. A lock
# file has the hash of each package and names no registry.
$(STAMPS)/oidc-provider: $(addprefix internal/peers/testdata/oidc-provider/,package.json package-lock.json)
$(STAMPS)/recipes: $(addprefix internal/recipes/testdata/,package.json package-lock.json)
$(STAMPS)/oidc-provider $(STAMPS)/recipes:
	@mkdir -p '$(TOOLS)/$(@F)' $(STAMPS)
	@if command -v npm >/dev/null; then \
		cp $^ '$(TOOLS)/$(@F)' && npm ci --silent --ignore-scripts --no-audit --no-fund --prefix '$(TOOLS)/$(@F)' && touch $@; \
	else \
		echo '$(@F) is left out, since there is no npm'; \
	fi

.PHONY: clean
clean: ## Remove what was built, but not the tools
	rm -rf build .aws-sam
