# The door to the project. `make` alone lists what it can do.
# Everything runs in .venv, which is made when it is missing or out of date.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PIP := $(PY) -m pip --disable-pip-version-check --no-input

BENCH ?=
CODE = $(wildcard src tests examples benchmarks)
UV_VERSION := 0.13.9

export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help venv demo test check torture bench fmt lock clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(STAMP) ## Make .venv with the pinned tools and the project (PYTHON=python3.12 picks another Python)

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "deedlog needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Name a newer one: make $(or $(MAKECMDGOALS),venv) PYTHON=python3.12" >&2; exit 1; }
	@echo "venv: making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@echo "venv: installing the pinned packages (about a minute the first time)"
	@$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	@echo "venv: installing deedlog itself, editable"
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## Run the shop's trial, start to end (DATA=file takes a Chinook SQLite file, ARGS="--keep folder" goes to it)
	@$(PY) -m examples.shop.demo $(if $(DATA),--data "$(DATA)") $(ARGS)

test: $(STAMP) ## Run the tests (ARGS="-k floors -x" goes to pytest)
	@$(PY) -m pytest $(ARGS)

check: $(STAMP) ## Format, lint and types: what CI asks before the tests
	@echo "check: ruff format"
	@$(PY) -m ruff format --check --quiet . || { echo "run 'make fmt' to format" >&2; exit 1; }
	@echo "check: ruff"
	@$(PY) -m ruff check --quiet .
	@echo "check: mypy (strict)"
	@$(PY) -m mypy $(CODE)
	@echo "check: pyright (strict)"
	@$(PY) -m pyright

torture: $(STAMP) ## Kill it at every fault point and at random, and check after each restart (KILLS=2000, SEED=1, MINUTES=30)
	@$(PY) -m tests.torture --kills $(or $(KILLS),2000) $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))

bench: $(STAMP) ## Run the benchmarks (QUICK=1 for a short run, BENCH="append query" for some of them)
	@$(PY) -m benchmarks $(if $(filter-out 0,$(QUICK)),--quick) $(BENCH)

fmt: $(STAMP) ## Format the code and fix what ruff can fix
	@$(PY) -m ruff check --quiet --fix-only .
	@$(PY) -m ruff format .

lock: ## Fix the versions again: requirements/dev.in and pyproject.toml give requirements/dev.txt (UP=1 takes the newest)
	@$(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python -m pip --disable-pip-version-check --no-input install --quiet uv==$(UV_VERSION)
	@.venv-lock/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --all-extras \
	  $(if $(UP),--upgrade) --custom-compile-command "make lock" \
	  pyproject.toml requirements/dev.in --output-file requirements/dev.txt
	@rm -rf .venv-lock
	@if grep -nE '^--|://' requirements/dev.txt; then echo "requirements/dev.txt must not name a registry" >&2; exit 1; fi

clean: ## Remove .venv, caches and build output
	@rm -rf $(VENV) .venv-lock build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
