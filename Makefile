# Every recipe works on a fresh clone: it needs Python >= 3.11 and the network, nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV ?= .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
PYTEST := $(PY) -m pytest
QUICKSTART := quickstart
# A command that runs those of the lanes; .ci/run keeps their output and seconds by it.
LANE :=

.PHONY: help
help: ## Show the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(READY) ## Make .venv with the pinned dependencies, and a JRE where there is no Java 17 or 21

$(READY): pyproject.toml constraints.txt scripts/make_venv.sh
	@scripts/make_venv.sh $(VENV)
	@touch $@

.PHONY: quickstart
quickstart: $(READY) ## Run every stage on the texts of the Python installation
	@$(PY) -m strata.jobs.setup.quickstart $(QUICKSTART)
	@$(VENV)/bin/strata run $(QUICKSTART)/quickstart.toml --report $(QUICKSTART)/report.json
	@echo "Settings: $(QUICKSTART)/quickstart.toml   tables: $(QUICKSTART)/warehouse   report: $(QUICKSTART)/report.json"

.PHONY: test
test: test-unit test-tables test-stages test-spark test-e2e ## Run the unit, tables, stages, spark and e2e tests

.PHONY: test-unit
test-unit: $(READY) ## Run the tests of single parts; no JVM
	$(LANE) $(PYTEST) tests/unit -n auto

.PHONY: test-tables
test-tables: $(READY) ## Run the tests of stores and tables on every kind of filesystem; no JVM
	$(LANE) $(PYTEST) tests/tables -n auto

.PHONY: test-stages
test-stages: $(READY) ## Run the tests of whole stages, their tasks one after the other; no JVM
	$(LANE) $(PYTEST) tests/stages -n auto

.PHONY: test-spark
test-spark: $(READY) ## Run the tests on one shared Spark session
	$(LANE) $(PYTEST) tests/spark

.PHONY: test-e2e
test-e2e: $(READY) ## Run the tests of whole commands, under spark-submit too
	$(LANE) $(PYTEST) tests/e2e

.PHONY: test-performance
test-performance: $(READY) ## Hold speed against its floors; wants a machine to itself
	$(LANE) $(PYTEST) tests/performance

.PHONY: test-services
test-services: $(READY) ## Run the tests against real storage servers on loopback
	$(LANE) $(PYTEST) tests/services

.PHONY: lint
lint: $(READY) types ## Check style, format and types
	$(LANE) $(VENV)/bin/ruff check .
	$(LANE) $(VENV)/bin/ruff format --check .

.PHONY: types
types: $(READY) build/typed ## Check types
	MYPYPATH=build/typed:. $(LANE) $(VENV)/bin/mypy

.PHONY: docs
docs: build/api ## Build the documentation site in build/docs; a broken link fails
	@$(LANE) scripts/build_docs.sh build/docs

# The folders of the checkout as the package tree that they are installed as: for mypy, and for Sphinx,
# which may run at the same time.
.PHONY: build/typed build/api
build/typed build/api:
	@rm -rf $@ && mkdir -p $@/strata
	@for part in conf/* storage pipelines jobs; do ln -s "$(CURDIR)/$$part" $@/strata/; done

.PHONY: bench
bench: $(READY) ## Run the benchmarks; they write their figures to benchmarks/results
	$(PY) benchmarks/run_benchmarks.py

.PHONY: wheel
wheel: $(READY) ## Build dist/corpus_strata-VERSION-py3-none-any.whl
	@rm -rf build/lib build/bdist.* dist
	@PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt $(PY) -m pip wheel --quiet --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls dist/*.whl

.PHONY: pyfiles
pyfiles: $(READY) ## Build dist/strata.zip for spark-submit --py-files
	@$(PY) -m strata.jobs.session.shipping dist/strata.zip

.PHONY: constraints
constraints: ## Resolve constraints.txt anew from pyproject.toml
	@scripts/resolve_constraints.sh

.PHONY: clean
clean: ## Remove everything that these targets made, except .venv
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache $(QUICKSTART)
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
