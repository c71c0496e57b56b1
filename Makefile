# Every target sets up what it needs: a virtual environment in .venv with the pinned requirements, those of
# the demo alone or all of them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_READY := $(VENV)/.demo-ready
# Whatever the environment says: modules are compiled when they are first imported, and kept.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo test test-fast faults wheels compose-test monitoring-check kubernetes-check clients-check audit release certs load load-steps soak lint format types reference docs protos protos-check lock lock-check bench clean

help:  ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements/dev.txt requirements/demo.txt pyproject.toml
	$(PYTHON) tools/install.py dev
	touch $(DEMO_READY) $@

$(DEMO_READY): requirements/demo.txt pyproject.toml
	$(PYTHON) tools/install.py demo
	touch $@

setup: $(DEMO_READY)  ## Makes .venv with what the demo and the README want

demo: $(DEMO_READY)  ## Trains, serves and risk-checks a policy on real bars, end to end
	$(BIN)/tradewind demo

# Installs PostgreSQL and Chromium where it can; elsewhere the tests that need them are skipped, and
# say so. Files are run in the order of tests/conftest.py.
PYTEST := tools/postgres.sh || export TRADEWIND_SKIP_POSTGRES=1; \
	tools/chromium.sh || export TRADEWIND_SKIP_CHROMIUM=1; \
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: $(READY)  ## Runs every test
	$(PYTEST)

test-fast: $(READY)  ## Runs the tests but the slowest
	$(PYTEST) -m "not slow"

faults: $(READY)  ## Breaks the services under load in every way, and checks what must hold
	tools/faults.sh && tools/postgres.sh && $(BIN)/python -m pytest tests/faults

wheels: $(READY)  ## Gathers the wheels that the images are built from, torch as a CPU build
	$(BIN)/python tools/wheels.py build/wheels

# The wheels come from wherever pip is set up to take them; the images are built from nothing else.
compose-test: wheels  ## Builds the images, brings the compose stack up, uses it and kills its containers
	tools/container_engine.sh
	WHEELS=build/wheels PIP_NO_INDEX=1 docker compose build --quiet
	$(BIN)/python -m pytest tests/compose

monitoring-check: $(READY)  ## Tests alerts and dashboard with promtool and in a real Prometheus
	tools/prometheus.sh && $(BIN)/python -m pytest tests/monitoring

kubernetes-check: $(READY)  ## Checks the manifests against the schemas of Kubernetes
	$(BIN)/python tools/side_environments.py kubernetes && $(BIN)/python -m pytest tests/kubernetes

clients-check: $(READY)  ## Packs, compiles and runs the clients in other languages, and the gateway
	tools/chromium.sh && tools/cpp.sh && $(BIN)/python -m pytest tests/clients

audit: $(READY)  ## Looks for secrets in the files, and for trouble in the dependencies
	$(BIN)/python tools/side_environments.py audit && $(BIN)/python tools/audit.py
	$(BIN)/python tools/sbom.py build/sbom

# Built from what is committed: what else lies in the folders of packages would be packed as well.
release: $(READY)  ## Wheel, sdist and what they are made of in dist/, once every dependency was audited
	test -n "$(RELEASE_KEY)" || { echo "RELEASE_KEY=FILE names the key that signs the provenance"; exit 2; }
	$(BIN)/python tools/side_environments.py audit
	$(BIN)/python tools/audit.py --require-vulnerability-service
	rm -rf build/release && mkdir -p build/release && git archive HEAD | tar -x -C build/release
	PYTHONWARNINGS=ignore $(BIN)/python -m build --outdir dist build/release
	$(BIN)/python tools/sbom.py dist/sbom
	$(BIN)/python tools/provenance.py dist/*.whl dist/*.tar.gz dist/sbom/* --key $(RELEASE_KEY) \
	  --output dist/provenance.intoto.json

certs: $(READY)  ## Makes certificates for development in certs/
	$(BIN)/python tools/certificates.py certs

LOAD_SECONDS ?= 60
load: $(READY)  ## Load on all three services: percentiles of every call, and the SLO verdict
	$(BIN)/python -m tests.load --seconds $(LOAD_SECONDS)

load-steps: $(READY)  ## Ever more load: finds the knee, and checks that load is shed and latency comes back
	tools/h2load.sh && $(BIN)/python -m tests.load.steps

SOAK_MINUTES ?= 30
soak: $(READY)  ## Half an hour of load: memory, descriptors and latency have to stay flat
	$(BIN)/python -m tests.faults.soak --minutes $(SOAK_MINUTES)

lint: $(READY)  ## Checks style and formatting, and that the settings reference is up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/reference.py --check

format: $(READY)  ## Formats the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)  ## Checks types, strictly
	MYPYPATH=$$(printf '%s:' examples/extending/*/) $(BIN)/mypy tradewind trainer_service inference_service risk_service orchestrator tradewind_cli tools examples tests

reference: $(READY)  ## Writes the page of all settings and their JSON Schemas
	$(BIN)/python tools/reference.py

docs: $(READY)  ## Builds the documentation's site in build/site, every link checked
	$(BIN)/python tools/side_environments.py docs
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build

protos: $(READY)  ## Regenerates the gRPC stubs
	$(BIN)/python tools/protos.py generate

protos-check: $(READY)  ## Lints the contracts, finds breaking changes and stale stubs
	$(BIN)/python tools/protos.py check

lock: $(READY)  ## Writes the requirement files from pyproject.toml
	$(BIN)/python tools/lock.py

lock-check: $(READY)  ## Checks that the requirement files satisfy pyproject.toml
	$(BIN)/python tools/lock.py --check

bench: $(READY)  ## Measures the numbers of the README, each beside its baseline
	$(BIN)/python -m tests.bench

clean:  ## Removes the virtual environment, caches and what the demo made
	rm -rf $(VENV) $(VENV)-* runs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
