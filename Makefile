# demo   the whole product on this machine; ARGS=--once ends after the result
# test   the whole test suite              check   format, lint, types, layers
# client the dashboard's types from the API's OpenAPI document
# bench  the benchmarks of bench/ against what else there is (ARGS="--only ssh-cold,memory"), into docs/benchmarks.md
# bench-agent  how the agent measures, against timm and SuperBench (ARGS="--only same --json FILE")
# chaos  faults on purpose (ARGS="--kills 30 --seed 7"); without counts, the full form
# security  attacks on purpose (ARGS="--only tokens,impostors --share 0.1"); without ARGS, the full form
#
# The first call makes .venv; a stamp there says which extras it has, so that later calls cost nothing.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
BENCH_VENV := .venv-bench
PEERS_VENV := .venv-peers
# The dashboard's tests drive a real browser; HARBORX_TEST_CHROMIUM names another than Debian's.
CHROMIUM := $(or $(HARBORX_TEST_CHROMIUM),/usr/bin/chromium)
# What the attacks need of Debian: a pooler in transaction mode, and counters of packets in a namespace.
DEBIAN := /usr/sbin/pgbouncer /usr/sbin/nft /usr/sbin/ip
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)
DASHBOARD := $(shell find dashboard -name node_modules -prune -o -name __pycache__ -prune -o -type f -print)
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet --editable

.DELETE_ON_ERROR:
# Several packages at once would wait for each other's lock.
.NOTPARALLEL:
.PHONY: demo test check client bench bench-agent chaos security

demo: $(VENV)/.has-embedded
	@$(BIN)/harborx demo --state .demo $(ARGS)

test: $(VENV)/.has-test $(CHROMIUM) $(DEBIAN)
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.has-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python dashboard/npm.py run check

client: $(VENV)/.has-dev
	$(BIN)/python dashboard/openapi.py > dashboard/openapi.json
	$(BIN)/python dashboard/npm.py run client

bench: $(VENV)/.has-test $(PEERS_VENV)/.has-peers $(DEBIAN)
	@$(BIN)/python -m bench $(ARGS)

bench-agent: $(BENCH_VENV)/.has-bench
	@$(BENCH_VENV)/bin/python -m bench.agent $(ARGS)

chaos: $(VENV)/.has-test
	@$(BIN)/python -m bench.chaos $(ARGS)

security: $(VENV)/.has-test $(DEBIAN)
	@$(BIN)/python -m bench.security $(ARGS)

# The extras grow: dev has all of test, test has all of embedded.
$(VENV)/.has-%: pyproject.toml hatch_build.py $(DASHBOARD) | $(BIN)/python
	@echo "Installing into $(VENV) ($*); the first time takes minutes."
	@$(PIP) '.[$*]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; make PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)

/usr/bin/chromium: PACKAGE := chromium
/usr/sbin/pgbouncer: PACKAGE := pgbouncer
/usr/sbin/nft: PACKAGE := nftables
/usr/sbin/ip: PACKAGE := iproute2
/usr/bin/chromium $(DEBIAN):
	@echo "Installing Debian's $(PACKAGE) for the tests."
	@$(AS_ROOT) apt-get update -qq
	@$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGE)

# Venvs of their own: torchvision decides which torch it gets, and for the agent's torch there may be none; and what
# the orchestrator is compared with has requirements of its own.
$(BENCH_VENV)/.has-bench $(PEERS_VENV)/.has-peers: pyproject.toml
	@echo "Installing into $(@D); the first time takes minutes."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; make PYTHON=...")'
	@$(PYTHON) -m venv $(@D)
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(@D)/bin/python -m pip install --quiet --editable '.[$(subst .has-,,$(@F))]'
	@touch $@
