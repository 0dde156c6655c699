# Every target sets itself up: a .venv made with python3 -m venv is the only installation.

PYTHON ?= python3
PIP := .venv/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test check docs-check table1 imagenet clean help

help:  ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

demo: .venv/.demo-ready  ## Attack the packaged model four ways and print the table
	.venv/bin/bandlimiter demo

test: .venv/.test-ready  ## Run all tests
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses 2

check: .venv/.check-ready  ## Lint, format, types, import rules
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.demo-ready: .venv/bin/python pyproject.toml constraints.txt
	@echo "setting up .venv (torch is large: a few minutes)"
	$(PIP) --editable .
	@touch $@

.venv/.test-ready: .venv/.demo-ready
	$(PIP) --editable '.[test,torchvision,timm,efficientnet]'
	@touch $@

.venv/.check-ready: .venv/.test-ready
	$(PIP) --editable '.[check]'
	@touch $@

clean:  ## Remove the .venv and caches
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
