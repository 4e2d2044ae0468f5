# unclouded: `make` lists what can be made.

.DEFAULT_GOAL := help
.PHONY: help demo check test bench install-deps lint build plugin portable qgis-test web web-dist

help: ## list these targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

demo: ## build, then remove the clouds of the bundled Sentinel-2 scene (only Rust needed beforehand)
	@.ci/demo

build: ## build the program for this machine, with GPU support: target/release/unclouded
	@.ci/install-deps
	cargo build --release --locked -p unclouded

portable: ## build dist/unclouded with GDAL inside: a program that runs where only glibc is installed
	@.ci/portable

plugin: ## build dist/unclouded_qgis.zip, the QGIS plugin with the program inside ('Install from ZIP')
	@.ci/plugin

check: ## the quick lane: format, lint, the tests of the core and of the program (a few minutes once built)
	@.ci/check

test: ## everything that must pass: format, lint, tests, Python checks, QGIS plugin, browser page
	@.ci/test

bench: ## our CPU engine beside PyTorch's, and ours beside diffusers' RePaint (installs PyTorch in target/)
	@.ci/bench

lint: ## format and lint only
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings

PORT ?= 8080
web: web-dist ## build the browser page and serve it on localhost (PORT=8080)
	@node web-demo/build/serve.mjs dist/web $(PORT)

web-dist: ## build the browser page as a static folder for any file server: dist/web
	@.ci/web-dist

qgis-test: ## the QGIS plugin in the real QGIS only (UNCLOUDED_BINARY=PATH takes a built program)
	@.ci/install-deps test
	@.ci/qgis-test

install-deps: ## install what the build and the tests need (Debian, Ubuntu)
	@.ci/install-deps test
