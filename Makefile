# One place for what people, CI and `sam build` run. `make` alone lists the
# targets. The versions of all tools are pinned here and nowhere else, but for
# the lock files of Python (.ci/*.txt) and of what tests run on Node; nothing
# below .tools/ is needed to build, to run locally or to test what needs no tool.

GOLANGCI_LINT := v2.15.0
DYNOXIDE      := 3.2.0
DYNALITE      := 4.0.0
EMULATOR      := $(DYNOXIDE)-$(DYNALITE)

FUNCTIONS := AuthorizeFunction CallbackFunction RefreshFunction ConnectionsFunction EventsFunction

# Lambda runs arm64 (template.yaml); a test on another machine asks for its own.
GOARCH ?= arm64
# Deployment of samconfig.toml: dev, staging or prod.
ENV ?= dev
# What the linter reads: the stack, and the overlay in front of it.
TEMPLATES := template.yaml $(wildcard docs/edge.yaml)
# A bootstrap above this, in bytes, is a slower cold start: look at its imports.
MAX_BOOTSTRAP := 12000000

TOOLS  := $(CURDIR)/.tools
STAMPS := .tools/stamps
VENV   := .tools/venv
# The SAM CLI sends nothing about anybody who runs it from here.
export SAM_CLI_TELEMETRY := 0
# Tests look for the DynamoDB emulator on PATH, `make deploy` for sam.
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
build: $(BUILDS) ## Build the functions into build/ (GOARCH=amd64 for another machine)

$(BUILDS): out = $(or $(ARTIFACTS_DIR),build/$(@:build-%=%))
$(BUILDS): folder = $(shell printf '%s' '$*' | tr '[:upper:]' '[:lower:]')
$(BUILDS): build-%Function:
	@mkdir -p '$(out)'
	CGO_ENABLED=0 GOOS=linux GOARCH=$(GOARCH) go build -tags lambda.norpc -trimpath -buildvcs=false \
		-ldflags '-s -w -buildid=' -o '$(out)/bootstrap' ./functions/$(folder)

# As deployed, so for arm64: what is in the bytes, module by module.
.PHONY: sbom
sbom: ## List the modules of the built functions, with sums and licences, in build/sbom.json (CycloneDX)
	@$(MAKE) --no-print-directory GOARCH=arm64 ARTIFACTS_DIR= build
	go run ./internal/artifacts/cmd build/sbom.json $(FUNCTIONS:%=build/%/bootstrap)

.PHONY: run
run: ## Start Evergrant on this machine with simulated providers
	go run ./cmd/evergrant local

# --- Deploy --------------------------------------------------------------------
# ENV is dev, staging or prod, or another environment of samconfig.toml, which
# says everything else. Nothing here answers a question of the SAM CLI for you.

# With `make delete CONFIRM=evergrant-prod ENV=prod` a person has typed the name.
STACK = $(shell sed -n '/^\[$(ENV)\./,/^\[/s/^stack_name = "\(.*\)"$$/\1/p' samconfig.toml | head -n 1)

.PHONY: sam-ready
sam-ready:
	@command -v sam >/dev/null || { echo 'there is no AWS SAM CLI: run make tools, or install aws-sam-cli' >&2; exit 1; }
	@test -n '$(STACK)' || { echo 'samconfig.toml has no environment $(ENV): use ENV=dev, staging or prod' >&2; exit 1; }

.PHONY: deploy
deploy: sam-ready ## Build and deploy: ENV=dev, staging or prod, which deploys what is committed and asks first
	@test '$(ENV)' != prod || test -z "$$(git status --porcelain)" || { echo 'prod is deployed from a commit: commit or remove what git status shows' >&2; exit 1; }
	sam build
	sam deploy --config-env '$(ENV)'

.PHONY: delete
delete: sam-ready ## Delete the stack of ENV; tables of connections and their keys stay. For prod: CONFIRM=its name
	@test '$(origin ENV)' != file || { echo 'say which: make delete ENV=dev' >&2; exit 1; }
	@test '$(ENV)' != prod || test '$(CONFIRM)' = '$(STACK)' || { echo 'prod is not deleted by slip: make delete ENV=prod CONFIRM=$(STACK)' >&2; exit 1; }
	sam delete --config-env '$(ENV)'

.PHONY: logs
logs: sam-ready ## Follow the logs of ENV, or of one FUNCTION=RefreshFunction of it
	sam logs --config-env '$(ENV)' --tail $(if $(FUNCTION),--name '$(FUNCTION)')

# Without ENV nothing is deployed and no Docker runs: the built function serves
# the event in a deployment of its own, with an emulator, moto and the simulated
# providers of the tests. With ENV it is the deployed function.
.PHONY: invoke invoke-here invoke-deployed
invoke: ## Serve EVENT=events/refresh.json by FUNCTION=RefreshFunction as built, here; with ENV=dev as deployed
	@case ' $(FUNCTIONS) ' in *' $(or $(FUNCTION),?) '*) ;; *) echo 'say which: FUNCTION=, one of $(FUNCTIONS)' >&2; exit 1;; esac
	@test -f '$(EVENT)' || { echo 'there is no file $(EVENT): say EVENT=, such as events/refresh.json' >&2; exit 1; }
	@$(MAKE) --no-print-directory invoke-$(if $(filter file,$(origin ENV)),here,deployed)
invoke-here:
	@mkdir -p build
	@go test -c -tags invoke -o build/invoke ./internal/lambdatest
	@cd internal/lambdatest && INVOKE_FUNCTION='$(FUNCTION)' INVOKE_EVENT='$(abspath $(EVENT))' CI=true ../../build/invoke -test.run '^TestInvoke$$'
invoke-deployed: sam-ready
	sam remote invoke '$(FUNCTION)' --config-env '$(ENV)' --event-file '$(EVENT)' --parameter Qualifier=live

# --- Test ----------------------------------------------------------------------

# What drives other programs or reads files takes twice as long under the race
# detector, which sees nothing there. Local mode has its turn under it in `make proof`.
PLAIN := architecture artifacts deployment lambdatest local peers recipes refreshmodel rules template
space := $(subst ,, )

# A program under the race detector sleeps for a second as it ends, unless told not to.
RACE := GORACE=atexit_sleep_ms=0 go test -race

.PHONY: test test-race test-plain
test: ## Run all tests, in random order, with the race detector where it can find something
	@test -n "$$DYNAMODB_ENDPOINT" || command -v dynoxide >/dev/null || command -v dynalite >/dev/null || \
		echo 'No DynamoDB emulator: what needs one is skipped. `make tools` installs it.'
	@test -x $(VENV)/bin/python3 || echo 'No Secrets Manager fake: the built functions are not run. `make tools` installs it.'
	@test -e $(STAMPS)/recipes || echo 'No libraries of the recipes: the programs of README.md are not run. `make tools` installs them.'
	@test -n "$$CHROMIUM" || command -v chromium >/dev/null || echo 'No Chromium: the pages are not opened in a browser. Install the package chromium.'
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line test-race test-plain
test-race:
	$(RACE) -shuffle=on $$(go list ./... | grep -vE '/internal/($(subst $(space),|,$(PLAIN)))$$')
test-plain:
	go test -shuffle=on $(PLAIN:%=./internal/%)

# Each test searches its own log; here what go test prints of all of them is read,
# too, and the searches are counted, so that none has stopped unseen.
.PHONY: leaks
leaks: ## Search all that the tests print for secrets: two minutes
	@mkdir -p build && go build -o build/leaks ./internal/canary/cmd
	@go test -count=1 -v ./... 2>&1 | build/leaks

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

# `make test` runs the built functions, local mode and the browser, too, but for these.
.PHONY: proof proof-built proof-local
proof: ## Kill the built functions at every call, give them a broken network and every bad input, click through all pages: some minutes
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line proof-built proof-local
proof-built:
	go test -count=1 -tags proof ./internal/lambdatest
proof-local:
	go test -count=1 -tags proof ./internal/battery
	$(RACE) -count=1 -tags proof ./internal/local

.PHONY: million
million: ## Play a million connections in virtual time: none is late, an outage marks none, no rate is exceeded
	go test -count=1 -v -run 'Million|Model|FanOut' ./internal/capacity

# --- Check ---------------------------------------------------------------------
# Each target gets the tool that it needs, so that `make check` does all of it in
# a clean clone.

.PHONY: check
check: check-format check-vet check-lint check-tidy check-template check-sam check-deployment check-artifacts check-size ## Run everything else that CI runs

.PHONY: check-format
check-format:
	@out=$$(gofmt -l .); test -z "$$out" || { echo "not formatted, run gofmt -w on:" >&2; echo "$$out" >&2; exit 1; }

.PHONY: check-vet
check-vet:
	go vet ./...

.PHONY: check-lint
check-lint: $(STAMPS)/golangci-lint-$(GOLANGCI_LINT)
	$(TOOLS)/bin/golangci-lint run ./...

.PHONY: check-tidy
check-tidy:
	go mod tidy -diff

.PHONY: check-template
check-template: $(STAMPS)/sam
	.tools/sam/bin/cfn-lint --include-checks I --template $(TEMPLATES)

# As on the machine of somebody who has no AWS account. What SAM builds are the
# bytes that make builds.
NO_ACCOUNT := env -u AWS_PROFILE -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -u AWS_SESSION_TOKEN \
	AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true AWS_DEFAULT_REGION=eu-central-1
.PHONY: check-sam
check-sam: $(STAMPS)/sam
	@for t in $(TEMPLATES); do echo "sam validate --lint --template $$t"; $(NO_ACCOUNT) .tools/sam/bin/sam validate --lint --template "$$t" || exit 1; done
	$(NO_ACCOUNT) .tools/sam/bin/sam build --build-dir .aws-sam/check
	@$(MAKE) --no-print-directory GOARCH=arm64 ARTIFACTS_DIR= build
	@for f in $(FUNCTIONS); do cmp ".aws-sam/check/$$f/bootstrap" "build/$$f/bootstrap" || exit 1; done

# What CloudFormation would create, for each environment of samconfig.toml and for
# all that can be asked for; the policy scan; the built functions with events/.
.PHONY: check-deployment
check-deployment: $(STAMPS)/sam $(STAMPS)/checkov $(STAMPS)/python $(STAMPS)/emulator-$(EMULATOR)
	go test -count=1 -tags proof ./internal/deployment ./internal/template
	go test ./internal/rules ./internal/architecture ./internal/dynamo
	go test -run 'TestEveryEventIsServedByItsFunction|Setting' ./internal/lambdatest

.PHONY: check-artifacts
check-artifacts: $(STAMPS)/checkov sbom
	go test -count=1 -tags proof ./internal/artifacts

# Of the arm64 builds that are deployed, whatever this machine is.
.PHONY: check-size
check-size:
	@$(MAKE) --no-print-directory GOARCH=arm64 ARTIFACTS_DIR= build
	@for f in $(FUNCTIONS); do \
		size=$$(wc -c < build/$$f/bootstrap); \
		echo "$$f: $$((size)) of $(MAX_BOOTSTRAP) bytes"; \
		test $$size -lt $(MAX_BOOTSTRAP) || { echo "$$f is too large: see what it imports with go list -deps" >&2; exit 1; }; \
	done

# --- Tools ---------------------------------------------------------------------

# A stamp bears its version, or is older than its lock file, so that a new pin
# installs and an old one does not.
.PHONY: tools
tools: $(STAMPS)/golangci-lint-$(GOLANGCI_LINT) $(STAMPS)/sam $(STAMPS)/checkov $(STAMPS)/python $(STAMPS)/emulator-$(EMULATOR) $(STAMPS)/oidc-provider $(STAMPS)/recipes ## Install the pinned tools into .tools/ (make -j4 tools is quicker)

$(STAMPS)/golangci-lint-$(GOLANGCI_LINT):
	GOBIN='$(TOOLS)/bin' go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	@mkdir -p $(STAMPS) && touch $@

# Three environments, since their tools want different versions of the same
# libraries. moto stands for Secrets Manager in tests, never for DynamoDB: its
# conditional writes let two winners through. boto3 and PyJWT are what the recipes use.
$(STAMPS)/python: packages = 'moto[server]' boto3 pyjwt
$(STAMPS)/sam: packages = aws-sam-cli cfn-lint
$(STAMPS)/checkov: packages = checkov
$(STAMPS)/python: venv = $(VENV)
$(STAMPS)/sam $(STAMPS)/checkov: venv = .tools/$(@F)
$(STAMPS)/python $(STAMPS)/sam $(STAMPS)/checkov: $(STAMPS)/%: .ci/%.txt
	python3 -m venv --clear $(venv)
	$(venv)/bin/pip install --quiet --disable-pip-version-check --constraint $< $(packages)
	@test $* != sam || { mkdir -p '$(TOOLS)/bin' && ln -sf ../sam/bin/sam '$(TOOLS)/bin/sam'; }
	@mkdir -p $(STAMPS) && touch $@

# dynoxide is the faithful emulator; dynalite stands in where Rust cannot be had.
$(STAMPS)/emulator-$(EMULATOR):
	@mkdir -p $(TOOLS)/bin $(STAMPS)
	@if command -v cargo >/dev/null && cargo install --quiet --locked dynoxide-rs --version $(DYNOXIDE) \
			--no-default-features --features native-sqlite,http-server,cli --root '$(TOOLS)'; then \
		echo 'DynamoDB emulator: dynoxide $(DYNOXIDE)'; \
	elif command -v npm >/dev/null; then \
		npm install --silent --no-save --prefix '$(TOOLS)' dynalite@$(DYNALITE) && \
		ln -sf ../node_modules/.bin/dynalite '$(TOOLS)/bin/dynalite' && \
		echo 'DynamoDB emulator: dynalite $(DYNALITE), since cargo did not make dynoxide'; \
	else \
		echo 'the DynamoDB emulator is left out, and tests that need it are skipped, since there is neither cargo nor npm'; exit 0; \
	fi && touch $@

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

.PHONY: docs
docs: ## Draw the picture of the README from template.yaml, make the tables of docs/cost.md from its prices; tests fail where they differ
	go run ./internal/architecture/cmd
	go run ./internal/capacity/cmd cost

.PHONY: clean
clean: ## Remove what was built, but not the tools
	rm -rf build .aws-sam
