# `make help` says what there is. Everything is built with the release profile, so that what is tested is what ships.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help build demo test simulation lint bench bench-peers bench-figures chaos fuzz clean prerequisites host tests plugins guests unit-tests plugin-tests end-to-end-tests

# Where tools and servers are installed that the clone doesn't bring.
CACHE := $(if $(RILLGATE_CACHE),$(RILLGATE_CACHE),$(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/rillgate)
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
RILLGATE := $(TARGET)/release/rillgate
# Plugins are a workspace of their own, for another target.
PLUGIN_TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR)/plugins,plugins/target)
PLUGIN_FLAGS := --manifest-path plugins/Cargo.toml --target-dir $(PLUGIN_TARGET)
BENCH_RESULTS := $(abspath $(TARGET))/bench/results.json
CARGO_DENY := $(CACHE)/tools/bin/cargo-deny
CARGO_FUZZ := $(CACHE)/tools/bin/cargo-fuzz
# How long `make fuzz` runs each target, in seconds, and which.
SECONDS = 300
FUZZ_TARGETS = $(sort $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs))))
FUZZ_TARGET := $(abspath $(TARGET))/fuzz

help: ## What there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

build: host plugins ## The host in release, and all plugins

demo: build ## The simulated systems on an embedded broker, with files under ./lake; ARGS="--for 30s" to end by itself
	$(RILLGATE) demo $(ARGS)

test: lint tests plugins unit-tests simulation plugin-tests end-to-end-tests ## Everything that is checked: lint, unit tests, simulation, plugins, end to end

lint: prerequisites $(CARGO_DENY) ## Format, warnings, licences and sources of dependencies, layers
	cargo fmt --all --check
	cargo fmt --all --check --manifest-path plugins/Cargo.toml
	cargo fmt --all --check --manifest-path tests/benches/plugin/guest/Cargo.toml
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --release --workspace --all-targets -- -D warnings
	cargo clippy --release --workspace --all-targets $(PLUGIN_FLAGS) -- -D warnings
	$(CARGO_DENY) --all-features --workspace check licenses bans sources
	$(CARGO_DENY) --all-features --workspace --config deny.toml --manifest-path plugins/Cargo.toml check licenses bans sources
	$(CARGO_DENY) --all-features --config deny.toml --manifest-path fuzz/Cargo.toml check licenses bans sources
	cargo test --release --workspace --test all layering::

simulation: tests ## The commit protocol under 10,000 seeded schedules of faults; SCHEDULES=n for more, SEED=n to replay one step by step
	SCHEDULES=$(SCHEDULES) SEED=$(SEED) cargo test --release --workspace --lib -- --exact commit::simulation::simulation --nocapture

bench: tests plugins ## Benchmarks, with the reference job on a real Kafka, into target/bench/results.json
	trap tests/servers/down EXIT; tests/servers/up; RILLGATE_BENCH_RESULTS=$(BENCH_RESULTS) cargo bench --workspace --bench '*' $(ARGS)

bench-peers: tests plugins ## The reference job and the windowed one beside pyarrow and Spark on the same topics, into the same file
	tests/servers/install spark; trap tests/servers/down EXIT; tests/servers/up; RILLGATE_BENCH_RESULTS=$(BENCH_RESULTS) \
	  cargo bench --workspace --bench reference -- peers window-peers

bench-figures: ## Puts what the last benchmarks found into docs/benchmarks.md
	@test -f $(BENCH_RESULTS:.json=.md) || { echo "missing: $(BENCH_RESULTS:.json=.md), which make bench writes"; exit 1; }
	sed -i -e '/^<!-- figures -->/,/^<!-- end of figures -->/{//!d}' -e '/^<!-- figures -->/r $(BENCH_RESULTS:.json=.md)' docs/benchmarks.md

chaos: tests plugins ## Half an hour of faults on a real Kafka and a real S3, into docs/reliability.md; ARGS="--rounds 50 --seed 7 --place s3"
	trap tests/servers/down EXIT; tests/servers/up; cargo test --release --workspace --test chaos -- $(ARGS) \
	  $(if $(ARGS),,&& RILLGATE_SWAPS=200 cargo test --release --workspace --test all -- --exact --nocapture \
    swaps::swaps_under_load_lose_and_double_nothing_and_move_no_partition versions::swaps_under_load_of_a_pipeline_that_remembers_miscount_nothing)

# A nightly compiler, for the instrumentation. What makes a target fail stays in the folder `artifacts`, what it found out in `corpus`.
fuzz: prerequisites $(CARGO_FUZZ) ## Fuzz targets one after another, SECONDS=300 each; FUZZ_TARGETS="json csv" for some of them
	@cargo +nightly --version >/dev/null 2>&1 || { echo "missing: Rust's nightly compiler (rustup toolchain install nightly)"; exit 1; }
	@for target in $(FUZZ_TARGETS); do \
	  mkdir -p $(FUZZ_TARGET)/corpus/$$target $(FUZZ_TARGET)/artifacts/$$target; \
	  seeds=$$(ls -d fuzz/seeds/$$target 2>/dev/null || true); \
	  CFLAGS=-fno-sanitize=all CXXFLAGS=-fno-sanitize=all ASAN_OPTIONS=detect_stack_use_after_return=0 RUSTUP_TOOLCHAIN=nightly $(CARGO_FUZZ) run --fuzz-dir fuzz --target-dir $(FUZZ_TARGET) $$target \
	    $(FUZZ_TARGET)/corpus/$$target $${seeds:+$$PWD/$$seeds} -- -max_total_time=$(SECONDS) -timeout=20 -rss_limit_mb=4096 \
	    -print_final_stats=1 -artifact_prefix=$(FUZZ_TARGET)/artifacts/$$target/ $(ARGS); \
	done

clean: ## Removes what was built, but not the cache
	cargo clean
	cargo clean $(PLUGIN_FLAGS)
	rm -f plugins/*.wasm

prerequisites:
	@.ci/prerequisites

host: prerequisites
	cargo build --release

# The host and all tests at once: with the same features, dependencies are compiled once.
tests: prerequisites
	cargo build --release --workspace --bins --tests

# A host that watches a plugin never sees half of it, nor one that is as before.
plugins: prerequisites
	cargo build --release --target wasm32-wasip2 $(PLUGIN_FLAGS)
	@for plugin in $(PLUGIN_TARGET)/wasm32-wasip2/release/*.wasm; do \
	  name=$$(basename "$$plugin"); \
	  cmp -s "$$plugin" "plugins/$$name" || { cp "$$plugin" "plugins/.$$name" && mv "plugins/.$$name" "plugins/$$name"; }; \
	done

# The hostile plugins in Rust, and versions of one plugin; those in WebAssembly text are put together by the tests themselves.
guests: prerequisites
	cargo build --release --target wasm32-wasip2 $(PLUGIN_FLAGS) --package guests --package versions --examples
	@rm -rf $(TARGET)/guests $(TARGET)/versions && mkdir -p $(TARGET)/guests $(TARGET)/versions
	@for version in tests/versions/*.rs; do \
	  cp "$(PLUGIN_TARGET)/wasm32-wasip2/release/examples/$$(basename $$version .rs).wasm" $(TARGET)/versions/; \
	done
	@for guest in tests/guests/rust/*.rs; do \
	  cp "$(PLUGIN_TARGET)/wasm32-wasip2/release/examples/$$(basename $$guest .rs | tr - _).wasm" $(TARGET)/guests/; \
	done

unit-tests: tests
	cargo test --release --workspace --lib --bins -- --skip commit::simulation::simulation
	cargo test --release --workspace --doc

plugin-tests: prerequisites
	cargo test --release --workspace $(PLUGIN_FLAGS)

end-to-end-tests: tests plugins guests
	trap tests/servers/down EXIT; tests/servers/up; cargo test --release --workspace --test all

$(CARGO_DENY):
	@echo "building cargo-deny: takes minutes, once"
	nice cargo install cargo-deny --version 0.20.2 --locked --quiet --root $(CACHE)/tools

$(CARGO_FUZZ):
	@echo "building cargo-fuzz: takes a minute, once"
	nice cargo install cargo-fuzz --version 0.13.1 --locked --quiet --root $(CACHE)/tools
