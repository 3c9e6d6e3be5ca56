# mammoroi: `make` alone explains itself.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all check format clean

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.mammoroi-ready
ROOMS  := imaging cohort segmentation radiomics modeling reporting clinic configs checkpoints

help: ## Show this text
	@echo "mammoroi: tumour masks, radiomics and classifiers on mammograms"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18
	@echo
	@echo "  Everything is installed into $(VENV)/; the command is $(BIN)/mammoroi."

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "mammoroi needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 setup"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	@command -v cc >/dev/null || { echo "no C compiler (pyradiomics is built here): apt-get install gcc python3-dev"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	PYTHONWARNINGS='ignore:Editable installation' \
	  $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
	@echo "mammoroi is installed in $(VENV)/: type \`. $(BIN)/activate\`, then \`mammoroi --help\`"

setup: $(STAMP) ## Make .venv/ with everything that mammoroi needs (6 to 8 GB)

demo: $(STAMP) ## Run the whole study on a synthetic cohort; open demo/report.html
	$(BIN)/mammoroi demo --out demo

test: $(STAMP) ## Run the tests, two at a time (the slow and GPU ones are left out)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-all: $(STAMP) ## Run all tests, the slow ones too
	$(BIN)/python -m pytest -m "not gpu"

# The type checker and the import linter want an ordinary package: they look at a copy in which
# radiomics/ has the __init__.py that it must not have in the repository root.
check: $(STAMP) ## Lint, format, types and the floors of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@rm -rf build/typed && mkdir -p build/typed/mammoroi
	@find *.py $(ROOMS) -name '*.py' -exec cp --parents -t build/typed/mammoroi {} +
	@touch build/typed/mammoroi/radiomics/__init__.py
	cd build/typed && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../mypy -p mammoroi
	cd build/typed && ../../$(BIN)/lint-imports --config ../../pyproject.toml --no-cache

format: $(STAMP) ## Let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove what was made here (.venv/, build/, demo/)
	rm -rf $(VENV) build demo *.egg-info .pytest_cache .ruff_cache .mypy_cache
