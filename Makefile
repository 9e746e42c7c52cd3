# Each target does all its own set-up on a Debian machine with a Rust toolchain, and says what it installs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
SKIPPED := $(TARGET_DIR)/tmp/skipped-tests.txt

# Where the pages of memory are 4 to 64 kB large, depending on the kernel, the allocator has to know of the largest.
ifeq ($(shell uname -m),aarch64)
export JEMALLOC_SYS_WITH_LG_PAGE := 16
endif

.PHONY: help demo test test-matrix test-versions test-faults test-archives test-sync test-salvage test-follow bench lint deb

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

demo: ## move a sample database between two throw-away servers, prove it, then damage it to show the alarm
	@tests/support/install-servers one
	cargo build --release
	$(TARGET_DIR)/release/pgconvoy demo

test: ## all tests, against every supported server version
	@tests/support/install-servers all
	@rm -f $(SKIPPED)
	@status=0; \
	cargo nextest run --config-file .ci/nextest.toml --features faults $(ARGS) || status=$$?; \
	if [ $$status -eq 0 ]; then cargo test --quiet --doc --features faults || status=$$?; fi; \
	tests/support/test-summary $(SKIPPED); \
	exit $$status

test-matrix: ## the whole damage matrix, and the rows that differ among a million
	@tests/support/install-servers all
	PGCONVOY_MATRIX=whole cargo nextest run --config-file .ci/nextest.toml --profile whole --features faults --test verify $(or $(ARGS),damages_of drill_down)

test-versions: ## moves, copies and comparisons between all the pairs of versions; make test has those that no other test has
	@tests/support/install-servers all
	cargo nextest run --config-file .ci/nextest.toml --profile whole --features faults --run-ignored all \
	    --test verify_servers --test verify_random --test verify_agrees \
	    $(or $(ARGS),-E 'test(/^(a_move_from|from|with_the_stock_tools_from)_/)')

test-faults: ## the whole fault-injection suite: kills at every point, lost sessions, servers, networks and disks, each resumed
	@tests/support/install-servers all
	@rm -f $(SKIPPED) $(TARGET_DIR)/tmp/faults-figures.txt
	@status=0; \
	PGCONVOY_FAULTS=whole cargo nextest run --config-file .ci/nextest.toml --profile whole --features faults --test faults --run-ignored all $(ARGS) || status=$$?; \
	tests/support/test-summary $(SKIPPED); \
	awk '{ faults += $$1; survived += $$4; resumed += $$7; anew += $$9; differences += $$12 } \
	     END { printf "%d faults injected, %d runs survived, %d resumed, %d begun anew, %d differences found\n", \
	           faults, survived, resumed, anew, differences }' $(TARGET_DIR)/tmp/faults-figures.txt; \
	exit $$status

test-archives: ## damage to archives at 1,000 places each, ours and pg_dump's; dumps and restores killed at 50 instants, and resumed; the zoo in each compression
	@tests/support/install-servers all
	PGCONVOY_ARCHIVES=whole cargo nextest run --config-file .ci/nextest.toml --profile whole --features faults \
	    --test archives --test dump --test storage --run-ignored all --no-capture \
	    $(or $(ARGS),-E 'test(damage) or test(killed) or test(files_of) or test(gigabyte) or test(the_zoo)')

test-sync: ## what it costs to bring a gigabyte over, and many random tables that are
	@tests/support/install-servers all
	PGCONVOY_SYNC=whole cargo nextest run --config-file .ci/nextest.toml --profile whole --features faults \
	    --test sync --run-ignored all --no-capture $(or $(ARGS),cost random killed)

test-follow: ## a target that follows its source: in every state, pgconvoy or either server is killed, or the network is cut; prints the table
	@tests/support/install-servers all
	PGCONVOY_FOLLOW=whole cargo nextest run --config-file .ci/nextest.toml --profile whole --features faults \
	    --test follow --run-ignored all -j 4 --success-output immediate $(ARGS)

test-salvage: ## a thousand pages overwritten at random, one at a time, and ten at a time in 200 MB, salvaged and compared with what pg_dump gets; FROM=0 ROUNDS=1000 for a part of them
	@tests/support/install-servers all
	@rm -f $(TARGET_DIR)/tmp/salvage-figures.txt
	PGCONVOY_SALVAGE=whole PGCONVOY_SALVAGE_FROM=$(FROM) PGCONVOY_SALVAGE_ROUNDS=$(ROUNDS) \
	    cargo nextest run $(BUILD) --config-file .ci/nextest.toml --profile whole --features faults \
	    --test salvage --run-ignored all --no-capture $(or $(ARGS),overwritten heavy_)
	@cat $(TARGET_DIR)/tmp/salvage-figures.txt

# What is given to make is given to the benchmark, by the same name.
BENCH := SCENARIO SETTING TOOLS ROUNDS SCALE FROM TO JOBS PROFILE COMPRESSION BASE

bench: ## pgconvoy and other tools side by side: SCENARIO="mix giant" TOOLS="move stock" SETTING=tuned ROUNDS=5 SCALE=1 (benches/README.md)
	@tests/support/install-servers bench
	cargo bench --bench tools -- $(foreach name,$(BENCH),$(if $($(name)),'$(name)=$($(name))'))

PACKAGE := target/package

deb: ## a Debian package, with manual pages and completions; MAINTAINER="Name <address>" is who hands it out; needs cargo-deb
	@cargo deb --version >/dev/null 2>&1 || { echo "cargo-deb is not installed: cargo install cargo-deb --locked"; exit 1; }
	CARGO_TARGET_DIR=target cargo build --release --locked --bin pgconvoy
	rm -rf $(PACKAGE) && mkdir -p $(PACKAGE)/man $(PACKAGE)/completions
	target/release/pgconvoy man $(PACKAGE)/man
	target/release/pgconvoy completions bash > $(PACKAGE)/completions/pgconvoy
	target/release/pgconvoy completions zsh > $(PACKAGE)/completions/_pgconvoy
	target/release/pgconvoy completions fish > $(PACKAGE)/completions/pgconvoy.fish
	CARGO_TARGET_DIR=target cargo deb --no-build --locked --strip $(if $(MAINTAINER),--maintainer '$(MAINTAINER)')

lint: ## formatting, clippy and documentation, without warnings
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy
	cargo fmt --check
	cargo clippy --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet
	@if command -v shellcheck >/dev/null; then \
	    shellcheck .ci/run tests/support/install-servers tests/support/test-summary; \
	else \
	    echo "shellcheck is not installed; the shell scripts were not checked"; \
	fi
