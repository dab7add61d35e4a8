# Needs Python >= 3.11 and make. `make` alone lists what there is; ARGS="…" is passed on.

.DEFAULT_GOAL := help
.PHONY: help up demo test test-fast check format lock clean

PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
PYTEST := $(PY) -m pytest
LOCK := $(PY) -m uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

up: $(INSTALLED) ## start everything on this machine; Ctrl-C stops it (ARGS=--restart revives a child that dies)
	@$(PY) -m runtime.up --follow-parent $(ARGS)

demo: $(INSTALLED) ## fill a running system with a sample destination and traffic
	@$(PY) -m runtime.demo $(ARGS)

test: $(INSTALLED) ## run every test
	@$(PYTEST) $(ARGS)

test-fast: $(INSTALLED) ## run the tests that take seconds and kill nothing
	@$(PYTEST) -m "not slow and not crash" $(ARGS)

check: $(INSTALLED) ## format, lint, types, import rules
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

format: $(INSTALLED) ## rewrite the files as `make check` wants them
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

lock: $(INSTALLED) ## pin what pyproject.toml asks for
	@$(LOCK) pyproject.toml --output-file requirements.lock $(ARGS)
	@$(LOCK) pyproject.toml --group dev --constraint requirements.lock --output-file requirements-dev.lock $(ARGS)

clean: ## remove the virtual environment and caches; the data in .sluice stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment that does not run (moved, or its Python gone) is made anew; uv then makes it equal to the lock.
$(INSTALLED): requirements-dev.lock
	@test -n "$(PYTHON)" || { echo "Sluice needs Python 3.11 or newer." >&2; exit 1; }
	@$(PY) -m uv --version >/dev/null 2>&1 || { \
		echo "Making $(VENV) …" && rm -rf $(VENV) && $(PYTHON) -m venv $(VENV) && \
		sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.lock > $(VENV)/uv.lock && \
		$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock; }
	@echo "Installing what requirements-dev.lock pins …"
	@$(PY) -m uv pip sync --quiet --compile-bytecode --python $(PY) --require-hashes requirements-dev.lock
	@touch $@
