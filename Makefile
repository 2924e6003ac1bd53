# Each of these does all its own set-up. The first time takes a minute or two, after that it is instant.

PORT ?= 7860
# Most of the tests at once wait (tests/support/handout.py): many more than there are cores.
JOBS ?= 8
# Containers like to set it: then each of a bot's processes compiles pipecat anew, at every start.
export PYTHONDONTWRITEBYTECODE =
BIN := .venv/bin
INSTALLED := .venv/.installed
RUNS := .venv/.runs

.PHONY: help install run test test-all test-lowest chaos lint lint-types lint-style lint-imports lint-names format docs

help:
	@echo "make run [PORT=N]   the gateway and a bot: call it with $(BIN)/piopiy call [--url ws://127.0.0.1:$(PORT)]"
	@echo "make test           what must pass before a change lands: linter, types, tests, of costly ones a choice of cases"
	@echo "make test-all       the same with every case of every test: before a release, and each night"
	@echo "make install        set up .venv for both, and no more"
	@echo "make test-lowest    tests with the lowest versions that pyproject.toml allows"
	@echo "make lint           linter, types, import contracts, names"
	@echo "make chaos          harm to agents and gateways, with 20 callers each: a table in chaos.md"
	@echo "make docs           the documentation as a site, in site/"
	@echo "make format         put the sources into shape"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml scripts/setup.sh
	@sh scripts/setup.sh

$(RUNS): pyproject.toml scripts/setup.sh
	@sh scripts/setup.sh run

run: $(RUNS)
	@$(BIN)/piopiy dev --port $(PORT)

test: OPTIONS = --short
test: test-all

test-all: $(INSTALLED)
	@sh scripts/test_packages.sh
	@$(MAKE) --no-print-directory -j2 lint
	$(BIN)/pytest -n $(JOBS) $(OPTIONS)

test-lowest: $(INSTALLED)
	@JOBS=$(JOBS) sh scripts/lowest_versions.sh

# One after the other, because they measure.
chaos: $(INSTALLED)
	$(BIN)/pytest -n 0 -m chaos --chaos-long --chaos-report chaos.md tests/chaos

# Apart, because types take half a minute of one core: `make test` does the others beside them.
lint: lint-types lint-style lint-imports lint-names

lint-types: $(INSTALLED)
	$(BIN)/mypy

lint-style: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-imports: $(INSTALLED)
	$(BIN)/lint-imports

lint-names: $(INSTALLED)
	$(BIN)/python scripts/check_names.py

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED)
	@$(BIN)/python -c 'import mkdocs, mkdocstrings' 2>/dev/null || $(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
