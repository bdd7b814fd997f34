# Two commands on a fresh machine, nothing needed but Python and make:
#   make demo    the whole line on real hippocampus MR, in about ten minutes of two CPU cores
#   make test    every check: style, types, architecture, documents, tests; make test-slow: those of half a minute and more
# And: make docs, the site in site/, read from its files; make wheel, the package in dist/; make try-wheel, that package
# installed afresh with each extra (minutes); make bench, the claims of speed and memory (see benchmarks/).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
MINUTES ?= 10
JOBS ?= 2

.PHONY: demo test test-slow bench docs wheel try-wheel lint types layers pytest clean

demo: $(VENV)/.installed
	$(BIN)/distilseg demo --minutes $(MINUTES)

test: lint types layers docs pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check src tests evidence scripts benchmarks docs
	$(BIN)/ruff format --check src tests evidence scripts benchmarks docs

types: $(VENV)/.installed-dev
	$(BIN)/mypy

layers: $(VENV)/.installed-dev
	$(BIN)/lint-imports

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

pytest: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m slow

wheel:
	rm -rf build dist
	$(PYTHON) -m pip wheel . --no-deps --quiet --wheel-dir dist
	@echo "pip install '$$(ls dist/*.whl)[train]'"

try-wheel: wheel
	$(PYTHON) scripts/try_wheel.py dist/*.whl

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[export]'
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ $(VENV)/.installed

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist site *.egg-info src/*.egg-info .mypy_cache .ruff_cache .pytest_cache
