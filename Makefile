# Everything a developer runs. `make` alone says what there is.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 5

# The tests start many processes, each of which would compile the whole bundle again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup install-into dev up down reset status demo doctor usage serve web pictures test quick mutations test-faults test-steps check format schema forwarders lint types imports lock docs bench figures

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: $(READY) ## the Python environment, as locked

# The stamp comes last, so an environment that was left half made is made again.
$(READY): requirements/dev.txt requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	@echo "  setting up $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(RUN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@VIRTUAL_ENV=$(VENV) $(RUN)/uv pip sync --quiet --require-hashes requirements/dev.txt
	@touch $@

dev: $(READY) ## start everything here and stop it with Ctrl-C
	@$(RUN)/python -m local dev

up: $(READY) ## start everything in the background
	@$(RUN)/python -m local up

down: $(READY) ## stop it; the data stays
	@$(RUN)/python -m local down

reset: $(READY) ## stop it and remove the data
	@$(RUN)/python -m local reset

status: $(READY) ## what is up
	@$(RUN)/python -m local status

demo: $(READY) ## the whole promise in one run
	@$(RUN)/python -m local demo

doctor: $(READY) ## check the stored invariants (REPAIR=1 repairs)
	@$(RUN)/python -m shared.doctor $(if $(filter 1,$(REPAIR)),--repair)

install-into: $(READY) ## put it into a Supabase project that you have (DIR=../my-app SCHEMA=chat DRY_RUN=1)
	@$(RUN)/python -m shared.install --into "$(or $(DIR),$(error which project? DIR=../my-app))" \
		$(if $(SCHEMA),--schema $(SCHEMA)) $(if $(filter 1,$(DRY_RUN)),--dry-run)

usage: $(READY) ## what the project's users used, and what is stored of them (DAYS=30)
	@$(RUN)/python -m shared.usage --days $(or $(DAYS),30)

serve: $(READY) ## the functions alone, beside `supabase start`
	@$(RUN)/python -m local serve

web: $(READY) ## the page with hot reload, beside `make up`
	@$(RUN)/python -m local web

pictures: $(READY) ## take the README's pictures of the page (needs Chromium)
	@$(RUN)/python -m tests.support.pictures

test: $(READY) ## every test (POSTGRES=15 or 17 for the stack, else 18; TESTS=tests/sql)
	@$(if $(POSTGRES),programs=$$($(RUN)/python -m tests.support.postgres $(POSTGRES)) && POSTGRES_PROGRAMS=$$programs) \
		$(RUN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

quick: $(READY) ## every test that needs no stack, in less than a minute
	@$(RUN)/pytest -q -n 2 --dist loadfile -p no:schemathesis -m "not stack" tests/unit tests/contract

mutations: $(READY) ## break the heart in known ways; each has to turn its tests red
	@$(RUN)/python -m tests.mutations

test-faults: $(READY) ## the long fault runs (TURNS=1000, STREAMS=200, OPERATIONS=6000)
	@FAULT_TURNS=$(or $(TURNS),1000) FAULT_STREAMS=$(or $(STREAMS),200) \
		CHAOS_OPERATIONS=$(or $(OPERATIONS),6000) $(RUN)/pytest -s \
		tests/faults/test_kill_loop.py tests/faults/test_streams.py tests/faults/test_chaos.py

test-steps: $(READY) ## what goes in steps, through a gateway that cuts calls (MESSAGES=200000)
	@STEPS_MESSAGES=$(or $(MESSAGES),200000) $(RUN)/pytest -s tests/faults/test_gateway_time.py

check: lint types imports test ## what CI runs

format: $(READY) ## format the code
	@$(RUN)/ruff check --quiet --fix-only .
	@$(RUN)/ruff format .

schema: $(READY) ## write the baseline migration from supabase/schemas
	@$(RUN)/python -m local.schema

forwarders: $(READY) ## write a forwarder and a gateway's route for each endpoint
	@$(RUN)/python -m local.forwarders

lint: $(READY)
	@$(RUN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@$(RUN)/ruff check .

types: $(READY)
	@$(RUN)/mypy

imports: $(READY)
	@$(RUN)/lint-imports

lock: $(READY) ## write the lock files after a change in pyproject.toml
	@$(RUN)/python requirements/lock.py

docs: $(READY) ## write the tables of settings and of promises from where they stand
	@$(RUN)/python docs/configuration_page.py
	@$(RUN)/python -m tests.support.promises

BENCHES := turn load list search stream throughput growth worst-turn cold-start

bench: $(addprefix bench-,$(BENCHES)) figures ## what it costs; one alone: make bench-turn

bench-%: $(READY)
	@$(RUN)/python -m bench.$(subst -,_,$*)

figures: $(READY) ## write docs/figures.md from what the benches have kept
	@$(RUN)/python -m bench.page
