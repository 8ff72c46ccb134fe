# `make demo` is the command of the README; the others are for development. Everything is installed into .venv, except Debian packages, which `make test`
# lists before it installs them (never with sudo; IMAGEN_NO_APT=1 skips them).

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# Without compiled files, each of the many processes of the tests compiles imagen again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test nightly pythons check format bench release lock clean

help:
	@echo "make demo    install into .venv, generate an image, print its path"
	@echo "make test    install what the tests need, run all tests"
	@echo "make nightly run the tests that take long, too, and the drills"
	@echo "make pythons run the unit tests with each Python from 3.11 to 3.14 there is"
	@echo "make check   check format, lint, types, layers and start-up"
	@echo "make format  format the code and fix lint errors"
	@echo "make bench   measure against peers and limits; MODE=--smoke takes a minute"
	@echo "make release build a wheel and a source distribution in dist/"
	@echo "make lock    pin the newest versions in constraints.txt"

.venv/bin/python:
	@sh tools/venv.sh "$(PYTHON)"

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	@echo "imagen: installing into .venv"
	@$(PIP) install --upgrade --constraint constraints.txt pip
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

.venv/tested: .venv/installed
	@echo "imagen: installing into .venv for checks and tests: the extra 'all', the group 'dev'"
	@echo "imagen: of pyproject.toml, and both examples"
	@$(PIP) install --constraint constraints.txt --editable '.[all]' --group dev
	@$(PIP) install --no-index --no-build-isolation \
		--editable examples/imagen-chalk --editable examples/imagen-easel
	@touch $@

demo: .venv/installed
	@mkdir -p demo
	@echo "imagen: your first image and its sidecar:"
	@$(BIN)/imagen generate "a wide editorial header about RAG systems" \
		--style blog-header --size 1536x768 --backend mock --output demo/ \
		--config /dev/null --no-cloud
	@echo
	@echo "imagen is installed as $(BIN)/imagen. Next:"
	@echo
	@echo "    . $(BIN)/activate"
	@echo '    imagen generate "a cat in a fishbowl" --show'
	@echo "    imagen setup        # your own GPU or API key"
	@echo "    imagen --help"

test: .venv/tested
	@sh tools/test-packages.sh
	@$(BIN)/python -m pytest -n auto --dist worksteal

nightly: .venv/tested
	@sh tools/test-packages.sh
	@IMAGEN_NIGHTLY=1 $(BIN)/python -m pytest -n auto --dist worksteal; tests=$$?; \
		$(BIN)/python -m benchmarks --drills && exit $$tests

pythons:
	@sh tools/pythons.sh

check: .venv/tested
	@sh tools/check.sh

format: .venv/tested
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .

bench: .venv/tested
	@$(BIN)/python -m benchmarks $(MODE)

release: .venv/installed
	@$(PIP) install --constraint constraints.txt build hatchling
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist . >/dev/null
	@ls dist/*

lock:
	@rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python -m pip --quiet install --upgrade pip
	@.venv-lock/bin/python -m pip --quiet install '.[all]' --group dev
	@{ echo "# The versions that imagen is developed and tested with; written by \`make lock\`."; \
	   .venv-lock/bin/python -m pip freeze --all --exclude imagen-studio; } > constraints.txt
	@rm -rf .venv-lock

clean:
	@rm -rf .venv .venv-* demo dist build .mypy_cache .ruff_cache .pytest_cache
