# make compare   install into .venv, run the study first-look, print where the report is
# make test      install into .venv, run the whole test suite
# make check     lint, types, direction of imports
# make studies   the page of built-in studies -> docs/studies.md
# make gallery   every figure, from the kept studies -> docs/gallery.md
# make bench     speed and memory beside other libraries -> docs/benchmarks/

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: compare test check lint types imports bench catalogue studies gallery clean

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "isospike needs Python 3.11 or newer; this is " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,events,cluster]'
	touch $(STAMP)

compare: $(STAMP)
	$(BIN)/isospike compare first-look

test: $(STAMP)
	$(BIN)/python -m pytest

check: lint types imports

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

catalogue: $(STAMP)
	$(BIN)/python -m compare.catalogue

studies: $(STAMP)
	$(BIN)/python -m compare.studies_page

gallery: $(STAMP)
	$(BIN)/python -m reports.gallery docs/receipts/timesteps-mnist5k docs/receipts/depth-mnist5k

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info build
