# One command per wish; `make` alone lists them. Two variables matter:
#   PYTHON=...   the interpreter for a new environment (default: the newest 3.11+ that runs)
#   VENV=...     where the environment lives (default: .venv)
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
BENCH_ARGS ?=

# Looked for only when an environment must be made (a recursive variable is expanded on use).
ifndef PYTHON
PYTHON = $(shell scripts/find-python)
endif

PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
STAMPS := $(VENV)/.stamps

.PHONY: help run serve test check bench protos servers controlplane lock clean env env-dev

help:  ## list these targets
	@echo "Pilotage: a scheduler that its users program in Python."
	@echo
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=python3.12 picks the interpreter, VENV=folder the environment, PYTEST_ARGS='-k name' the tests."

run: env  ## schedule the bundled GPU trace (report: reports/openb.html), then route a request trace to real instances
	@mkdir -p reports
	$(BIN)/pilotage simulate openb --policy dotprod,bestfit,fgd,pilotage --seeds 2 --report reports/openb.html
	$(BIN)/pilotage demo

serve: env  ## start the task service with four instances on a real trace; the page stays up at http://127.0.0.1:8102/
	$(BIN)/pilotage demo --stay

test: env-dev  ## run every test, on all cores (PYTEST_ARGS='-k name' for some)
	$(BIN)/python -m pytest -n auto $(PYTEST_ARGS)

check: env-dev  ## formatting, lint, types, and who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: env-dev  ## answer the benchmarks' questions, peers in the same run
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

protos: env-dev  ## generate the gRPC messages from their .proto files
	$(BIN)/python -m grpc_tools.protoc -Isrc --python_out=src --pyi_out=src src/pilotage/api/grpc/wire/*.proto

servers:  ## install the real servers that some tests talk to (Debian, Ubuntu; root); starts none
	@scripts/install-servers

controlplane:  ## build the real Kubernetes control plane that some tests talk to (Go; 15 minutes when cold)
	@tests/controlplane/build

lock: env-dev  ## pin the newest dependencies into requirements/*.lock
	@echo "Resolving the newest versions that pyproject.toml allows"
	$(COMPILE) pyproject.toml --extra optimise requirements/build.in -o requirements/run.lock
	$(COMPILE) pyproject.toml --extra all --group dev -c requirements/run.lock -o requirements/dev.lock

clean:  ## remove the environment and everything else that can be made again
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# No address of an index goes into a lock: whoever installs uses their own.
COMPILE = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock"

# ---- the environment ----------------------------------------------------------------------------------
# One folder, made in steps; a stamp file after each, so that nothing is installed twice. The development
# lock holds every pin of the run lock, so whoever has it has the other: `dev` stamps `run` too.

LEVEL := $(if $(filter test check bench protos lock env-dev,$(MAKECMDGOALS)),dev,run)

env env-dev: $(STAMPS)/editable

$(BIN)/python:
	@python="$(PYTHON)"; [ -n "$$python" ] || exit 1; \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "PYTHON=$$python does not run, or is older than 3.11" >&2; exit 1; }; \
	echo "Making $(VENV) with $$("$$python" --version) ($$python)"; \
	"$$python" -m venv --clear "$(VENV)" || { rm -rf "$(VENV)"; \
		echo "It cannot make virtual environments (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }

$(STAMPS)/run: requirements/run.lock $(BIN)/python
	@echo "Installing what Pilotage needs to run (requirements/run.lock)"
	@$(PIP) install --require-hashes -r requirements/run.lock
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: requirements/dev.lock requirements/run.lock $(BIN)/python
	@echo "Installing what its developers need (requirements/dev.lock)"
	@$(PIP) install --require-hashes -r requirements/dev.lock
	@mkdir -p $(STAMPS) && touch $(STAMPS)/run $@

$(STAMPS)/editable: pyproject.toml $(BIN)/python $(STAMPS)/$(LEVEL)
	@echo "Linking Pilotage into $(VENV)"
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@mkdir -p $(STAMPS) && touch $@
