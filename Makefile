# Everything a checkout can do, with nothing but make and Python 3.11 or newer: `make` lists it.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
FLOORS := .venv-floors
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Two stamps, so that a person who wants the demo does not wait for linters. An edit of either file installs again.
USER_STAMP := $(VENV)/.installed-user
DEV_STAMP  := $(VENV)/.installed-dev
PINS       := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test check format floors bench reproduce docs clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(USER_STAMP)  ## make .venv with what a user needs: ogive, torch, ONNX, benchmark tables, pictures

setup-dev: $(DEV_STAMP)  ## the same, and what tests and checks need

demo: setup  ## search, train, export and report on small images, in about two minutes
	@$(BIN)/ogive demo $(ARGS)

test: setup-dev check  ## the checks, then every test that takes seconds
	$(BIN)/python -m pytest -rs -n auto --maxprocesses 8 --dist worksteal $(ARGS)

check: setup-dev  ## format, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict src/ogive
	$(BIN)/lint-imports --no-logo

format: setup-dev  ## rewrite the sources as `make check` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

floors:  ## the tabular path on the oldest versions that pyproject.toml allows, in an environment of its own
	@$(PYTHON) -m venv --clear $(FLOORS)
	@$(FLOORS)/bin/python tests/floors.py >$(FLOORS)/floors.txt
	@$(FLOORS)/bin/python -m pip install --quiet --disable-pip-version-check -r $(FLOORS)/floors.txt pytest hypothesis pandas
	@$(FLOORS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps .
	$(FLOORS)/bin/ogive search --help >/dev/null
	$(FLOORS)/bin/ogive list >/dev/null
	$(FLOORS)/bin/python -m pytest -p no:cacheprovider -k "not clock and not scored_before and not its_last_trial" \
	    tests/unit/test_choice.py tests/unit/test_closed_worlds.py tests/unit/test_compare.py \
	    tests/unit/test_watching.py

bench: setup-dev  ## speed and memory, with pytest-benchmark
	$(BIN)/python -m pytest benchmarks -rs --benchmark-columns=min,median,iqr,ops --benchmark-sort=name $(ARGS)

reproduce: setup-dev  ## the slow tests: recipes against published numbers
	$(BIN)/python -m pytest -m slow -rs $(ARGS)

docs: setup-dev  ## run every code block of README, docs and examples
	$(BIN)/python -m pytest tests/examples -rs $(ARGS)

clean:  ## remove .venv, builds and caches
	rm -rf $(VENV) $(FLOORS) build dist .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# A virtual environment whose Python is gone is made anew; `--clear` empties what is left of it.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ogive needs Python 3.11 or newer, " + \
	"%s is %d.%d. Name another: make PYTHON=python3.11" % ((sys.executable,) + sys.version_info[:2]))'
	@$(PYTHON) -m venv --clear $(VENV)

$(USER_STAMP): $(PINS) | $(BIN)/python
	@echo "Installing ogive, torch and ONNX into $(VENV): about a minute, most of it torch ..."
	@$(PIP) -e '.[onnx,optuna,parquet,images,tables]'
	@touch $@

$(DEV_STAMP): $(PINS) | $(BIN)/python
	@echo "Installing ogive with its development tools into $(VENV): about a minute, most of it torch ..."
	@$(PIP) -e '.[dev]'
	@touch $@ $(USER_STAMP)
