# Two commands do all the set-up themselves, in .venv:  make audit  and  make test.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
RUN := .venv/.ready-to-run
DEVELOP := .venv/.ready-to-develop

.PHONY: audit test slow lint clean

audit: $(RUN)  ## audit the shipped digits classifier and generator
	$(BIN)/robust audit examples/digits/robust.toml

test: $(DEVELOP)  ## the tests
	$(BIN)/python -m pytest -n auto

slow: $(DEVELOP)  ## the slow tests
	$(BIN)/python -m pytest -m slow

lint: $(DEVELOP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv

$(RUN): .venv/pyvenv.cfg pyproject.toml constraints.txt
	$(PIP) --editable .
	@touch $@

$(DEVELOP): .venv/pyvenv.cfg pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	@touch $@ $(RUN)

clean:
	rm -rf .venv build dist *.egg-info
