# Two commands set everything up: `make run` and `make test`.

CARGO ?= cargo

# A dependency is built once in each profile, whatever is built next: those who
# share a profile select packages that ask for the same features. `quick` is for
# trying out, `release` for what is measured and shipped, and in `dev` everything
# is built with what tests need, also the programs that tests start.
QUICK = $(CARGO) build --locked --profile quick
FOR_TESTS = $(CARGO) build --locked --workspace --bins --tests

.PHONY: run sandbox test simulation torture openapi-client bench fmt lint doc deny

# Builds, migrates an embedded SQLite, starts the gateway in development mode,
# and prints its URL, a token and the next command to try.
run:
	$(QUICK) --package tidegate --package tidegate-device
	./target/quick/tidegate serve

# The gateway, fakes of the push services and two simulated devices: shows
# commands on their way by socket, by push and by poll, and fails when one does
# not end. `./target/quick/tidegate-sandbox --stay` leaves all of it running.
sandbox:
	$(QUICK) --package tidegate --package tidegate-sandbox
	./target/quick/tidegate-sandbox

# All tests on SQLite, and those that need PostgreSQL on one that they start,
# where it is installed; with DATABASE_URL=postgres://… all integration tests run
# there. The binaries are built first: the crash test kills the real one. What
# could not be run is told at the end.
SKIPPED = $(or $(CARGO_TARGET_DIR),target)/tmp/skipped
test:
	$(FOR_TESTS)
	@rm -f $(SKIPPED)
	@$(CARGO) test --locked --workspace; result=$$?; \
	sort $(SKIPPED) 2>/dev/null | uniq -c | sed -E 's/^ *([0-9]+) (.*)/skipped: \2 (tests: \1)/'; \
	exit $$result

# Random histories of devices, backends, the marketplace and the push tier, each
# step checked; `make test` plays 1,000. Prints the seed of one that fails:
# `make simulation SEED=…` plays it again.
HISTORIES ?= 100000
simulation:
	TIDEGATE_SIMULATION_HISTORIES=$(HISTORIES) TIDEGATE_TEST_SEED=$(SEED) $(CARGO) test --locked --workspace --test it -- \
		--nocapture --exact simulation::no_order_of_events_breaks_a_promise

# Random faults under load for so many minutes: a disk that fills, fails or
# hangs, SIGKILL, PostgreSQL (its own, where it is installed) restarted and
# frozen, a clock that jumps. Prints seeds and counts, fails if anything
# accepted was lost. `make torture SEED=… MINUTES=0` plays one round again.
MINUTES ?= 60
torture:
	$(FOR_TESTS)
	TIDEGATE_TORTURE_MINUTES=$(MINUTES) TIDEGATE_TEST_SEED=$(SEED) $(CARGO) test --locked --workspace --test it -- \
		--nocapture --exact crash::nothing_accepted_is_lost

# A TypeScript client made from the OpenAPI document, and compiled. Needs Node
# 18 or newer with npm, which `make test` does not.
openapi-client:
	$(FOR_TESTS)
	./target/debug/tidegate openapi > tests/openapi-client/openapi.json
	cd tests/openapi-client && npm ci --no-audit --no-fund && npm run check

# Memory, fan-out, latency, durable writes, and single users against a hand-made
# outbox on SQLite and PostgreSQL (its own, where it is installed); writes
# bench/results.json.
bench:
	$(CARGO) build --locked --release --package tidegate --package tidegate-bench
	./target/release/tidegate-bench

fmt:
	$(CARGO) fmt --all

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

# Licences, sources and duplicate versions of dependencies; advisories need
# the network, so they are checked by `cargo deny check` where there is one.
deny:
	$(CARGO) deny --locked check bans licenses sources
