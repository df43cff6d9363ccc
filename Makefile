# The only entry: CI runs the same words. `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help demo test unit browser peers envoy k8s image rules lint doc bench bench-overload clean

STORE ?= embedded
PORT ?= 8080

# cargo-nextest where it is installed, plain cargo test otherwise.
CARGO_TEST := $(if $(shell command -v cargo-nextest 2>/dev/null),cargo nextest run --no-fail-fast,cargo test --no-fail-fast)

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## everything on this machine behind one URL (STORE=redis: two replicas on Redis; PORT=n; CHECK=1: sign in and out by script)
	@tests/install.sh check
	@python3 tests/demo/run.py --store $(STORE) --port $(PORT) $(if $(CHECK),--check)

test: peers unit browser rules k8s ## install the peers, then all tests: unit, contract, end-to-end, browser, alert rules, manifests, demo
	python3 tests/demo/run.py --check
	python3 tests/demo/run.py --check --store redis

unit: peers ## the Rust tests only (end-to-end ones included)
	cargo build --bin coatcheck
	$(CARGO_TEST)

browser: peers ## the tests in JavaScript: the test provider, and real Chromium through TLS, in both login modes
	cargo build --bin coatcheck
	node --test --test-reporter=spec tests/peers/*.test.mjs tests/browser/*.test.mjs
	LOGIN_MODE=in_band node --test --test-reporter=spec tests/browser/login.test.mjs tests/browser/logout.test.mjs

peers: ## real Envoy, Redis, OpenID provider and Chromium, pinned
	@tests/install.sh

envoy: ## let the real Envoy validate envoy/*.yaml
	@tests/install.sh envoy openssl
	tests/validate-envoy.sh

rules: ## let promtool check and test the alert rules
	@tests/install.sh promtool
	tests/validate-rules.sh

k8s: ## render k8s/ and the chart, hold them to the schemas and to coatcheck.yaml (CRDS=folder: custom resources too)
	@tests/install.sh k8s redis openssl
	cargo build --bin coatcheck
	.peers/k8s/bin/python tests/k8s/check.py $(if $(CRDS),--crds $(CRDS))

image: ## build the static binary of the container image, and run it in an empty root (needs root; QUICK=1: not optimized)
	@tests/install.sh k8s openssl
	.peers/k8s/bin/python tests/k8s/image.py $(if $(QUICK),--quick)

lint: ## formatting, clippy, and the syntax of scripts
	cargo fmt --all --check
	cargo clippy --all-targets --quiet -- -D warnings
	tests/lint-scripts.sh

doc: ## the API documentation, private items included
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --quiet

bench: ## what a check costs, against the floor, in one run
	cargo bench

bench-overload: ## what is forwarded and refused at up to three times the capacity (needs two quiet cores, for some minutes)
	cargo bench --bench checks -- --overload

clean: ## forget builds and installed peers
	cargo clean
	rm -rf .peers tests/peers/node_modules
