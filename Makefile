# Two commands: `make run` opens the fluoroscopy room, `make test` runs every test. Both do all their own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
PATIENT ?=
RUN_FLAGS ?=
export FLUOROSCOPE_TEST_DATA ?= $(if $(wildcard ../shared/data),$(abspath ../shared/data),)
# uv takes the certificates of the system, as pip does on machines with an own certificate authority.
export UV_SYSTEM_CERTS ?= 1
export UV_LINK_MODE ?= copy

.PHONY: help run test check lint types structure page unit test-page peers docs install dev wheel lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: install ## Install and open the fluoroscopy room in the browser
	$(BIN)/fluoroscope run $(PATIENT) $(RUN_FLAGS)

test: dev peers check test-page unit ## Install and run every test, real peers included

check: dev lint types structure docs ## Lint, types, layers, sizes, docs

install: $(VENV)/installed ## Install what running needs
dev: $(VENV)/installed-dev ## Install what developing needs

$(VENV)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "error: Python 3.11 to 3.13 is needed, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12 run")'
	@# Debian's Python makes no complete environment without python3-venv; its pip can fill a bare one.
	@$(PYTHON) -m venv $(VENV) >/dev/null || $(PYTHON) -m venv --clear --without-pip $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9' \
	  || $(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check 'uv>=0.9' \
	  || { echo "error: no uv could be installed into $(VENV); on Debian: apt-get install python3-venv python3-pip" >&2; exit 2; }
	@touch $@

PAGE := scripts/build_page.py web/index.html web/package-lock.json $(shell find web/src web/public)

# An installation builds the page too; PyPI's Node comes along where the system has none.
$(VENV)/installed: $(VENV)/uv requirements/core.txt pyproject.toml $(PAGE)
	$(UV) pip install --python $(BIN)/python --require-hashes -r requirements/core.txt
	$(UV) pip install --python $(BIN)/python --no-deps -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/uv requirements/dev.txt requirements/page.txt pyproject.toml $(PAGE)
	$(UV) pip install --python $(BIN)/python --require-hashes -r requirements/dev.txt
	! $(BIN)/python scripts/build_page.py --wants-node || $(UV) pip install --python $(BIN)/python --require-hashes -r requirements/page.txt
	$(UV) pip install --python $(BIN)/python --no-deps -e .
	@touch $@ $(VENV)/installed

peers: ## Get the programs of others that tests run against, from Debian where that is allowed
	bash scripts/install_peers.sh

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev
	$(BIN)/mypy

structure: dev
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_sizes.py
	$(BIN)/python scripts/check_requirements.py
	$(BIN)/python scripts/check_committed.py

page: dev ## Build the page
	$(BIN)/python scripts/build_page.py

test-page: page ## Types, lint and unit tests of the page
	$(BIN)/python scripts/build_page.py --check

unit: dev page
	$(BIN)/python -m pytest

docs: dev ## Build the documentation into site/
	$(BIN)/mkdocs build --strict

wheel: dev ## Build the wheel with the page in it
	$(UV) build --wheel --out-dir dist --python $(BIN)/python

lock: $(VENV)/uv ## Remake the locks
	bash scripts/lock.sh --upgrade

clean: ## Remove what was installed and built
	rm -rf $(VENV) dist site web/node_modules src/fluoroscope/monitor/static
