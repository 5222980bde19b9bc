# Every target builds .venv from nothing where it is missing, and is quick where it stands.
PYTHON ?= python3
RUN ?= runs/first
BIN := .venv/bin
SCALENET := $(BIN)/scalenet

.PHONY: help run test lint docs bench clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

run: .venv/ready ## STEP 1 on rendered images (a few minutes), then STEP 2 with what it found; goes on where it stopped
	$(SCALENET) grid-search -o $(RUN)
	$(SCALENET) scale --base $(RUN)/base.yaml --coefficients $(RUN)/coefficients.yaml --flops 2x,4x,8x --tolerance 0.02 -o $(RUN)/family --force
	$(SCALENET) verify $(RUN)/family/*.yaml

test: .venv/ready ## run the tests
	$(BIN)/pytest -n auto --dist worksteal

lint: .venv/ready ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/docs ## build the documentation into build/site; what is broken or missing fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/site/index.html"

bench: .venv/ready ## measure the cost formula and the checks against fvcore, budgets, and training against plain PyTorch
	$(BIN)/python benchmarks/costs.py
	$(BIN)/python benchmarks/budgets.py
	$(BIN)/python benchmarks/checks.py
	$(BIN)/python benchmarks/training.py

clean: ## remove .venv and caches
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check $$(grep '^torch==' requirements.txt)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.venv/docs: .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[docs]'
	touch $@
