# Duologue's commands. `make help` lists them; all that they need is Python 3.11 or newer.

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
SDK_TYPES = PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent --workspace clients/javascript types --
NODE_TOOLS := PATH="$(CURDIR)/$(BIN):$$PATH" node_modules/.bin
UV_VERSION := $(shell sed -n '/^name = "uv"$$/{n;s/^version = "\(.*\)"$$/\1/p;}' uv.lock)
PYTEST := $(BIN)/pytest --quiet --numprocesses logical --dist worksteal
FAILED := .pytest_cache/v/cache/lastfailed

# The interpreter is .venv's own, whatever else the caller has active.
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never
unexport UV_PYTHON VIRTUAL_ENV

# Servers start in half the time when their bytecode may be kept.
unexport PYTHONDONTWRITEBYTECODE

# Trust whom the machine trusts, where it says so: behind a company's proxy nothing else works.
export UV_SYSTEM_CERTS ?= $(if $(wildcard /etc/ssl/cert.pem /etc/ssl/certs/*.* /etc/pki/tls/certs/*.*),true,false)

MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help serve test check lint types javascript imports docs docs-check test-all bench fix torture clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  ARGS="…" goes to the command:  make serve ARGS="--port 8100"   make test ARGS="-k receipts"'

serve: .venv/.serve ## Run Duologue on http://127.0.0.1:8000, with its data in ./data
	@exec $(BIN)/duologue serve $(ARGS)

test: .venv/.dev ## Run the tests on real servers, without the slow and the browser ones (some 4 minutes)
	@$(PYTEST) -m "not slow and not browser" $(ARGS)

check: lint types javascript imports docs-check test-all ## Run all that CI runs

lint: .venv/.dev ## Check style and format of the Python
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: .venv/.dev ## Check the types of the Python
	@$(BIN)/mypy

javascript: node_modules/.installed ## Check style, format and types of the JavaScript
	@$(SDK_TYPES) --check >/dev/null || { echo 'clients/javascript/wire.d.ts is not what docs/openapi.json says: make fix' >&2; exit 1; }
	@$(NODE_TOOLS)/biome check --error-on-warnings
	@$(NODE_TOOLS)/tsc -p tsconfig.json
	@$(NODE_TOOLS)/tsc -p tsconfig.worker.json
	@$(NODE_TOOLS)/tsc -p tsconfig.tests.json

imports: .venv/.dev ## Check that imports point down only
	@$(BIN)/lint-imports --no-logo

docs: .venv/.dev ## Write the generated documents anew
	@$(BIN)/duologue docs

docs-check: .venv/.dev ## Check that the generated documents are what the code says
	@$(BIN)/duologue docs --check

test-all: .venv/.dev ## Run all tests; at most three that failed beside the others once more, alone (see decision 0036)
	@rm -f $(FAILED); $(PYTEST) $(ARGS) || { \
		[ $$? -eq 1 ] && [ "$$(grep -c ': true' $(FAILED))" -le 3 ] || exit 1; \
		echo 'UNSTABLE unless it fails again: what failed is run once more, alone.'; \
		$(BIN)/pytest --quiet --last-failed --last-failed-no-failures=none -rA; }

bench: .venv/.dev ## Measure what the server does on this machine
	@exec $(BIN)/duologue bench $(ARGS)

fix: .venv/.dev ## Mend style and format where a machine can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format
	@[ ! -e node_modules/.installed ] || { $(SDK_TYPES) >/dev/null && $(NODE_TOOLS)/biome check --write; }

torture: .venv/.dev ## Run three nodes through five minutes of crashes and judge their history
	@$(BIN)/duologue torture $(ARGS)

clean: ## Delete what these commands made: environment, caches, builds; never ./data
	@rm -rf .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .schemathesis dist node_modules clients/javascript/node_modules
	@find src lab tests tools -type d -name __pycache__ -prune -exec rm -rf {} +

# --- Setting up. A stamp tells what is done; a changed uv.lock undoes it. ---

.venv/.uv-$(UV_VERSION):
	@$(BIN)/uv --version 2>/dev/null | grep -q '^uv $(UV_VERSION)\( \|$$\)' || { \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
			echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 …' >&2; exit 1; }; \
		echo 'Setting up .venv, once …' >&2; \
		$(PYTHON) -m venv .venv || { \
			echo 'Python came without venv. On Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); \
	}
	@touch $@

.venv/.serve: .venv/.uv-$(UV_VERSION) uv.lock pyproject.toml
	@echo 'Installing what Duologue needs …' >&2
	@$(BIN)/uv sync --quiet --frozen --no-dev --inexact
	@touch $@

.venv/.dev: .venv/.uv-$(UV_VERSION) uv.lock pyproject.toml lab/pyproject.toml
	@echo 'Installing what Duologue and its tests need …' >&2
	@$(BIN)/uv sync --quiet --frozen
	@touch $@ .venv/.serve

# Only what checks the JavaScript needs the npm registry: serving and the tests don't.
node_modules/.installed: .venv/.dev package.json clients/javascript/package.json package-lock.json .npmrc
	@echo 'Installing what checks the JavaScript …' >&2
	@PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --prefer-offline --loglevel=error
	@touch $@
