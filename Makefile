# One command per job; `make help` lists them. Everything lives in this folder: .venv, node_modules, target, .footfall.
# Stamps in .make say what is already done, so a second `make serve` has nothing to do but start.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
FUZZ_SECONDS ?= 60
CRASH_ROUNDS ?= 200
SOAK_SECONDS ?= 3600
LOAD_GENERATOR := bench/load/generator/Cargo.toml
# Files of tests run beside each other: each worker starts stores of its own, about 1 GB together.
TEST_WORKERS ?= 2
# Debian's chromium, nginx and redis-server install some of their programs here.
export PATH := $(PATH):/usr/sbin:/usr/local/sbin

RUST_SOURCES := Cargo.toml Cargo.lock $(shell find rust_ext -name '*.rs' -not -path '*/target/*' -not -path '*/fuzz/*') \
	$(wildcard rust_ext/Cargo.toml rust_ext/ingest/Cargo.toml rust_ext/*.py)
CORE_SOURCES := $(wildcard core_ext/*.pyx core_ext/*.pxd core_ext/*.h core_ext/*.c.in)
SCRIPT_SOURCES := package.json $(shell find dashboards server/tracker -type f \
	-not -path '*/node_modules/*' -not -path '*/built/*' -not -name '*.py' -not -path '*/tests/*')

.PHONY: help serve demo test build check format bench sweep soak clean fuzz crash lock

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

serve: .make/built .make/scripts ## start Footfall on http://localhost:8000 with its embedded stores
	@exec $(VENV)/bin/footfall serve

demo: .make/built .make/scripts ## a site with a made-up year, to look at: fills it, serves it, opens its dashboard
	@exec $(VENV)/bin/footfall demo

build: .make/built .make/scripts ## the virtual environment, both extensions in release mode, the packed rules, tracker and dashboard

test: .make/built .make/scripts .make/dev ## every test; starts the real services by itself
	@$(PY) -m tests.services --install
	cargo test --package footfall-ingest --locked --quiet
	CARGO_TARGET_DIR=.make/load cargo test --manifest-path $(LOAD_GENERATOR) --locked --quiet
	npm test --silent
	$(PY) -m pytest -n $(TEST_WORKERS) --dist loadfile $(PYTEST_ARGS)

check: .make/built .make/scripts .make/dev ## formatters, linters, types, stubs against the binaries
	$(PY) -m ruff check --no-cache .
	$(PY) -m ruff format --no-cache --check .
	$(PY) -m tests.licences
	$(PY) -m mypy
	$(PY) -m mypy.stubtest rust_ext._ingest core_ext.native core_ext.frames core_ext.plan --allowlist tests/core_ext/stubtest_allowlist.txt
	npm run --silent check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo fmt --manifest-path $(LOAD_GENERATOR) --check
	CARGO_TARGET_DIR=.make/load cargo clippy --manifest-path $(LOAD_GENERATOR) --all-targets --locked -- -D warnings

format: .make/dev ## rewrite the sources as `make check` wants them
	$(PY) -m ruff check --fix-only --quiet .
	$(PY) -m ruff format .
	cargo fmt --all
	cargo fmt --manifest-path $(LOAD_GENERATOR)

bench: .make/built .make/dev ## every benchmark: ours, theirs, ratio
	@$(PY) -m tests.services --install nginx wrk
	$(PY) -m bench all
	$(PY) -m pytest -q bench/micro --benchmark-enable --benchmark-only --benchmark-columns=median,iqr,rounds

sweep: .make/built .make/dev ## batch settings for this machine, as a ConfigMap and a report
	@$(PY) -m tests.services --install nginx
	$(PY) -m bench sweep

soak: .make/built .make/dev ## load with faults for SOAK_SECONDS, each hit held against its row
	@$(PY) -m tests.services --install nginx
	$(PY) -m bench soak --seconds $(SOAK_SECONDS) --enforce

fuzz: ## each fuzz target for FUZZ_SECONDS (needs cargo-fuzz and a nightly toolchain)
	@cd rust_ext && for target in $$(cargo +nightly fuzz list); do \
		cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; done

crash: .make/built .make/dev ## the crash suite in its long form: CRASH_ROUNDS times kill -9
	@$(PY) -m tests.services --install
	FOOTFALL_CRASH_ROUNDS=$(CRASH_ROUNDS) $(PY) -m pytest -m crash tests --timeout 7200

lock: .make/lock-tools ## renew the hashed lock files from requirements/*.in and package.json
	cd requirements && for name in dev run build; do \
		constraint=$$([ $$name = dev ] || echo "-c dev.txt"); \
		../.make/lock-tools/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
			--no-annotate --custom-compile-command "make lock" $$constraint $$name.in -o $$name.txt \
			|| exit 1; done
	npm install --package-lock-only --ignore-scripts

clean: ## everything that was built or installed here; keeps .footfall, your data
	rm -rf .venv .make node_modules target build dist *.egg-info rust_ext/rules.pack core_ext/*.c
	rm -rf server/tracker/built server/pages/built
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find core_ext rust_ext -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.make/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Footfall needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	@mkdir -p .make && touch $@

.make/run: .make/venv requirements/run.txt requirements/build.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/run.txt
	@touch $@

.make/dev: .make/run requirements/dev.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

.make/npm: package-lock.json
	npm ci --ignore-scripts --no-progress
	@mkdir -p .make && touch $@

# The tracker and the dashboard, each with brotli and gzip forms beside it.
.make/scripts: .make/npm $(SCRIPT_SOURCES)
	npm run --silent build
	@touch $@

# An editable install: setup.py's build_ext runs in place, `compat` is the plain path file instead of an import hook.
.make/built: .make/run .make/npm setup.py pyproject.toml $(RUST_SOURCES) $(CORE_SOURCES) | .make/scripts
	@echo "building both extensions (a few minutes the first time)"
	$(PY) -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation \
		--config-settings editable_mode=compat --editable .
	@touch $@

.make/lock-tools:
	$(PYTHON) -m venv $@ && $@/bin/pip install --quiet uv
