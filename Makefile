# The two commands of the README are `make demo` and `make test`; the rest is for every day.
# Everything lands in .venv and nothing outside this folder, but for Debian's packages that
# `make test` names before it installs them (never with sudo; IMAGEN_NO_APT=1 leaves them out).

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench lock clean

help:
	@echo "make demo    install into .venv, generate an image, say where it is"
	@echo "make test    install what the tests need, and run all of them"
	@echo "make check   format, lint, types, layers, start-up: in a few seconds"
	@echo "make format  put the format right, and what lint can mend"
	@echo "make bench   measure against peers and limits"
	@echo "make lock    pin the newest versions in constraints.txt"

.venv/bin/python:
	@sh tools/venv.sh "$(PYTHON)"

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	@echo "imagen: installing into .venv"
	@$(PIP) install --upgrade --constraint constraints.txt pip
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

.venv/tested: .venv/installed
	@echo "imagen: installing into .venv what the checks and tests need: the extra 'all', the"
	@echo "imagen: group 'dev' of pyproject.toml, and examples/imagen-chalk"
	@$(PIP) install --constraint constraints.txt --editable '.[all]' --group dev
	@$(PIP) install --constraint constraints.txt --editable examples/imagen-chalk
	@touch $@

demo: .venv/installed
	@mkdir -p demo
	@echo "imagen: your first image, with its sidecar beside it:"
	@$(BIN)/imagen generate "a wide editorial header about RAG systems" \
		--style blog-header --size 1536x768 --backend mock --output demo/

test: .venv/tested
	@sh tools/test-packages.sh
	@$(BIN)/python -m pytest -n auto --dist worksteal

check: .venv/tested
	@sh tools/check.sh

format: .venv/tested
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .

bench: .venv/tested
	@for file in benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

lock:
	@rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python -m pip --quiet install --upgrade pip
	@.venv-lock/bin/python -m pip --quiet install '.[all]' --group dev
	@{ echo "# The versions that imagen is developed and tested with; made by \`make lock\`."; \
	   .venv-lock/bin/python -m pip freeze --all --exclude imagen-studio; } > constraints.txt
	@rm -rf .venv-lock

clean:
	@rm -rf .venv .venv-lock demo dist build .mypy_cache .ruff_cache .pytest_cache
