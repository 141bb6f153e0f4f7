# Needs Python >= 3.11, make and a package registry; everything else is in requirements.lock.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

# Tests run on as many processors as there are, each file on one; TOGETHER= runs them one after the other.
TOGETHER ?= --numprocesses=logical --maxprocesses=4 --dist=loadfile

export TZ := UTC

.DEFAULT_GOAL := help
.PHONY: install demo test test-full check bench lock clean help

install: $(INSTALLED) ## make .venv with the exact versions of requirements.lock (the other targets imply it)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Tracelake needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make install PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## start Tracelake with a lifelike shop, its history and JupyterLab; Ctrl-C stops all
	$(BIN)/tracelake demo

test: install ## run the tests, without the long forms
	$(BIN)/python -m pytest $(TOGETHER)

test-full: install ## run all tests, the long forms too
	$(BIN)/python -m pytest $(TOGETHER) --timeout=3600 -m ""

check: install ## format, lint, types and import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: install ## measure ingest, size on disk and queries (docs/benchmarks.md)
	$(BIN)/python -m bench

lock: ## write requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --upgrade \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet --output-file requirements.lock

clean: ## remove the lakes in data/ (the demo's too), caches and build output
	find data -mindepth 1 ! -name .gitkeep -delete
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find lake api scheduler notebooks tests -name __pycache__ -prune -exec rm -rf {} +

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "make %-10s %s\n", $$1, $$2}'
