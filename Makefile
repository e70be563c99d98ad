# make compare   install into .venv, run the study first-look, print where the report is
# make test      install into .venv, run the whole test suite
# make stress    kills, faults and fuzzing in full (docs/reliability.md), at most 30 minutes on 2 cores
# make check     lint, types, direction of imports, dangerous calls
# make audit     known weaknesses of what is installed (asks the package index)
# make studies   the page of built-in studies -> docs/studies.md
# make reference  keys of study files, options of methods -> docs/reference.md
# make gallery   every figure, from the kept studies -> docs/gallery.md
# make receipts  tables and figures of the kept studies, drawn anew from their records
# make bench     speed and memory beside other libraries -> docs/benchmarks/

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PROCESSES ?= 2
STRESSED := tests/stress tests/test_same_result.py tests/test_safety.py tests/test_halfway.py tests/test_fit.py

.PHONY: compare test stress check lint types imports dangers audit bench catalogue studies reference gallery receipts clean

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "isospike needs Python 3.11 or newer; this is " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,events,cluster]'
	touch $(STAMP)

compare: $(STAMP)
	$(BIN)/isospike compare first-look

test: $(STAMP)
	$(BIN)/python -m pytest

stress: $(STAMP)
	ISOSPIKE_STRESS=whole $(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal -rs --durations=10 $(STRESSED)

check: lint types imports dangers

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

dangers: $(STAMP)
	$(BIN)/bandit -q -c pyproject.toml -r network conversion direct compare reports

audit: $(STAMP)
	@$(BIN)/python .ci/audit.py

catalogue: $(STAMP)
	$(BIN)/python -m compare.catalogue

studies: $(STAMP)
	$(BIN)/python -m compare.studies_page

reference: $(STAMP)
	$(BIN)/python -m compare.reference_page

gallery: $(STAMP)
	$(BIN)/python -m reports.gallery docs/receipts/timesteps-mnist5k docs/receipts/depth-mnist5k docs/receipts/lee2016-inhibition

receipts: $(STAMP)
	$(BIN)/python -m compare.receipt --again $(sort $(dir $(wildcard docs/receipts/*/report)))

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info build
