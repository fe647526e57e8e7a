# Every target does its own set-up: the first call creates .venv and installs requirements.lock, later calls install
# nothing until requirements.lock or pyproject.toml changes. Another Python: `make PYTHON=python3.12 test`.
# Python compiles each module when it is first imported: of what is installed here, that is a small part.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help setup tune test check format ui lock clean

help: ## list the targets
	@echo "usage: make TARGET"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

tune: $(INSTALLED) ## search GAN settings on real handwritten digits, register the winner (5 minutes at the most)
	$(BIN)/python jobs/tune_gan.py --data digits --trials 12 --seeds 2 --time-budget 5m

test: check ## static checks, then all tests (about 25 minutes on 2 cores)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

check: $(INSTALLED) ## static checks: lint, format, types, import layers, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell

format: $(INSTALLED) ## format the code and fix what the linter can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

ui: $(INSTALLED) ## open MLflow's pages on the runs recorded here
	$(BIN)/gen-dist ui

setup: $(INSTALLED) ## only create .venv and install

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "gen_dist needs Python 3.11 or newer, and $(PYTHON) is `$(PYTHON) --version 2>/dev/null || echo missing`."; \
		echo "Name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || { echo "creating $(VENV)"; $(PYTHON) -m venv $(VENV); } || { \
		echo "Python could not create $(VENV); on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "installing requirements.lock into $(VENV): a few minutes, the first time only"
	@if [ -t 1 ]; then quiet=; else quiet=--quiet; fi; set -e; \
		$(PIP) install $$quiet --no-compile --requirement requirements.lock; \
		$(PIP) install $$quiet --no-deps --no-build-isolation --editable .
	@touch $@

lock: ## resolve pyproject.toml anew and write requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --dry-run --ignore-installed --report resolution.json '.[dev,server]'
	$(BIN)/python .ci/lock.py < resolution.json > requirements.lock
	@rm resolution.json

clean: ## remove the environment and caches; datasets, runs and models stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
