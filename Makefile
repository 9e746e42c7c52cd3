# Each target does all its own set-up on a Debian machine with a Rust toolchain, and says what it installs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
SKIPPED := $(TARGET_DIR)/tmp/skipped-tests.txt

.PHONY: help demo test test-matrix lint

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

test-matrix: ## the whole damage matrix
	@tests/support/install-servers all
	PGCONVOY_MATRIX=whole cargo nextest run --config-file .ci/nextest.toml --features faults --test verify $(or $(ARGS),damages_of)

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
