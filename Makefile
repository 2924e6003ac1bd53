# Each of these does all its own set-up. The first time takes a minute or two, after that it is instant.

PORT ?= 7860
# The tests wait more than they compute: more at once than there are cores.
JOBS ?= 4
# Containers like to set it: then each of a bot's processes compiles pipecat anew, at every start.
export PYTHONDONTWRITEBYTECODE =
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help install run test lint format

help:
	@echo "make run [PORT=N]   the gateway and a bot: call it with $(BIN)/piopiy call"
	@echo "make test           everything that must pass: linter, types, tests"
	@echo "make install        set up .venv, and no more"
	@echo "make lint           linter and types"
	@echo "make format         put the sources into shape"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml scripts/setup.sh
	@sh scripts/setup.sh

run: $(INSTALLED)
	@$(BIN)/piopiy dev --port $(PORT)

test: $(INSTALLED)
	@sh scripts/test_packages.sh
	@$(MAKE) --no-print-directory lint
	$(BIN)/pytest -n $(JOBS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	-$(BIN)/python scripts/check_names.py

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
