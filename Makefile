# Everything that a fresh Linux machine with Python 3.11 or newer needs: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install demo test lint docs clean

help:
	@echo "make demo     install into .venv and run a whole search on real digits"
	@echo "make test     run the tests"
	@echo "make lint     ruff, mypy --strict, import-linter"
	@echo "make docs     build the documentation into site/"
	@echo "make install  only create .venv and install"
	@echo "make clean    remove what these made"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rdsearch needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Installing into $(VENV) (torch is large: a few minutes the first time) ..."
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "python's venv module is incomplete here; on Debian and Ubuntu: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@# The coder's inner loop is compiled once a machine: here rather than in the middle of the first search.
	@$(BIN)/python -c 'import numpy; from rdsearch.coding import encode_arrays; encode_arrays([numpy.ones((2, 2), int)])'
	@touch $(STAMP)

demo: install
	@$(BIN)/rdsearch search search_spaces/digits.yaml

test: install
	@# Most of the time goes by in searches that wait for Ray's processes: two at a time, a file's tests in one place.
	@$(BIN)/pytest -q -n 2 --dist loadfile

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: install
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
