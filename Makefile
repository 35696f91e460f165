# demo   the whole product on this machine; ARGS=--once ends after the result
# test   the whole test suite              check   format, lint, types, layers
# bench  the benchmarks of bench/ (ARGS)
# chaos  faults on purpose (ARGS="--kills 30 --seed 7"); without counts, the full form
#
# The first call makes .venv; a stamp there says which extras it has, so that later calls cost nothing.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet --editable

.DELETE_ON_ERROR:
.PHONY: demo test check bench chaos

demo: $(VENV)/.has-embedded
	@$(BIN)/harborx demo --state .demo $(ARGS)

test: $(VENV)/.has-test
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.has-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.has-test
	$(BIN)/python -m bench $(ARGS)

chaos: $(VENV)/.has-test
	@$(BIN)/python -m bench.chaos $(ARGS)

# The extras grow: dev has all of test, test has all of embedded.
$(VENV)/.has-%: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) ($*); the first time takes minutes."
	@$(PIP) '.[$*]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; make PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)
