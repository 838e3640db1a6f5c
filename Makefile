# `make` lists the targets. Everything a target needs beyond Rust, a C compiler and Python 3 (with venv) it puts under target/.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test e2e test-browser fmt lint lint-deny tools bench loadtest loadtest-slow loadtest-full loadtest-placement loadtest-durable loadtest-relay simulate soak clean

NATS_LOG := $(CURDIR)/target/nats-tests.log

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

run: ## build and start the whole system in one process, a page at http://127.0.0.1:8080/
	cargo run --release --locked -p ringway -- dev $(ARGS)

tools: ## put nats-server and the Python packages of the tests under target/
	cargo run --quiet --locked -p ringway-testkit --example tools

test: tools ## run every test but the browser's, against a real NATS server too
	@rm -f $(NATS_LOG)
	NATS_TEST_LOG=$(NATS_LOG) cargo test --locked --workspace
	@echo "$$(sort -u $(NATS_LOG) | wc -l) tests ran against a real NATS server ($$(cargo run --quiet --locked -p ringway-testkit --example tools -- nats-version))"

# Those whose figures are looked at: one at a time, and what they print is shown at the end.
CHANGING := durable:: placement:: rebalance:: hot:: disagreement:: reload::
# What a test doesn't choose itself: each path in turn, or one (`make e2e PATHS=relay`); the relay's own tests with the relay.
PATHS := tunnel relay

e2e: tools ## the whole end-to-end suite over both paths, the long tests too; then tables of what clients notice while a cluster changes
	for path in $(PATHS); do \
	    echo "== over the $$path"; export RINGWAY_TEST_PATH=$$path; own=; [ $$path = relay ] || own="--skip relay::"; \
	    cargo test --locked -p ringway --test e2e -- --include-ignored $$own $(addprefix --skip ,$(CHANGING)); \
	    cargo test --locked -p ringway --test e2e -- --include-ignored --test-threads 1 --show-output $(CHANGING); \
	done

# Short: what matters to a change is a tenth or more. For figures to publish, run one alone and for longer:
# cargo bench -p ringway-protocol --bench frames
BENCH_TIME := --warm-up-time 0.2 --measurement-time 1 --nresamples 10000 --noplot

bench: ## run the micro-benchmarks (a minute once built) and say what has changed since the last run
	@mkdir -p target && touch target/bench-started
	cargo bench --quiet --locked --workspace --bench '*' -- --quiet $(BENCH_TIME)
	@python3 benches/summary.py target/bench-started

test-browser: tools ## drive the page in headless Chromium (CHROMIUM, or one on the PATH; Node.js and npm)
	cargo build --locked -p ringway
	NATS_SERVER=$$(cargo run --quiet --locked -p ringway-testkit --example tools | sed -n 's/^nats-server *//p') \
	    crates/cli/tests/browser/run.sh

fmt: ## format the code
	cargo fmt --all

lint: ## formatting and clippy, warnings as errors
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

lint-deny: ## licences, bans and sources of the dependencies (needs cargo-deny)
	cargo deny --locked check bans licenses sources

loadtest: ## the floor, Ringway's paths and two alternatives side by side; eight minutes once built (ARGS="--repeat 1")
	cargo build --release --locked -p ringway
	cargo run --release --locked -p ringway-loadtest -- run quick $(ARGS)

loadtest-slow: ## those that don't keep up or ask for too much, every policy, every alternative; twenty minutes
	cargo build --release --locked -p ringway
	cargo run --release --locked -p ringway-loadtest -- run slow $(ARGS)

loadtest-full: ## everything against everything; half an hour, and what installing takes
	cargo build --release --locked -p ringway
	cargo run --release --locked -p ringway-loadtest -- run full $(ARGS)

loadtest-placement: ## a room too big for one node, what crosses nodes, what a gateway adds to an upgrade; seven minutes
	cargo build --release --locked -p ringway
	cargo run --release --locked -p ringway-loadtest -- run placement $(ARGS)

loadtest-durable: ## durable rooms beside JetStream alone: publishing, resuming, a node's death, a million rooms; ten minutes
	cargo build --release --locked -p ringway
	cargo run --release --locked -p ringway-loadtest -- durable $(ARGS)

loadtest-relay: ## a gateway that holds the sockets, beside the tunnel and nodes alone; nodes taken away; a quarter of an hour
	cargo build --release --locked -p ringway
	cargo run --release --locked -p ringway-loadtest -- run relay $(ARGS)

simulate: ## clusters of up to 1,000 nodes, worked out with the real ring; plots in docs/scaling; a minute of one core (ARGS="--seed 2")
	cargo run --release --locked -p ringway-loadtest -- simulate $(ARGS)

soak: ## ten minutes of churn and broadcast, then nothing may have stayed
	cargo build --release --locked -p ringway
	cargo run --release --locked -p ringway-loadtest -- run soak $(ARGS)

clean: ## remove everything that was built
	cargo clean
