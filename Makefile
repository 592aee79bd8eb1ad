# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Settings: make run CONTROLLERS=1 PLAN=my.larry.yml ARGS=... PYTHON=/path/to/python3.12
CONTROLLERS ?=
PLAN ?=
ARGS ?=
PYTHON ?=
# Settings of make chaos
SEED ?=
MINUTES ?= 5
TASKS ?=
FAULTS ?=

# Relative on purpose: a checkout may lie in a path with spaces.
FIND_PYTHON = PYTHON='$(PYTHON)' sh scripts/find_python.sh
BOOTSTRAP = python="$$($(FIND_PYTHON) 3.12 3.13 3.11)" && "$$python" scripts/bootstrap.py
# Ansible keeps its things in the checkout: HOME may not be writable, and an older copy in ~/.ansible would be in the way.
IN_RUN = PATH="$$PWD/.venv/bin:$$PATH" ANSIBLE_HOME="$${ANSIBLE_HOME:-$$PWD/.cache/ansible}"
STAGES = .venv-test/bin/python tests/tools/stages.py

# Ansible refuses a locale that is not UTF-8, such as the C locale of a bare container.
ifneq (UTF-8,$(shell locale charmap 2>/dev/null))
export LC_ALL := C.UTF-8
endif

.DEFAULT_GOAL := help
.PHONY: help run status redis bench bench-all test lint sanity unit integration servers model guards chaos molecule drift build docs changelog lock format clean distclean setup setup-test setup-bench

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "; print "Targets:"} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile
	@echo
	@echo 'Settings: CONTROLLERS=1 PLAN=path/to/plan.larry.yml ARGS="..." PYTHON=/path/to/python'

setup:
	@$(BOOTSTRAP) run

setup-test:
	@$(BOOTSTRAP) test

setup-bench:
	@$(BOOTSTRAP) bench

run: setup ## Run the plan: set-up, one controller for each Larry, live view, report (CONTROLLERS, PLAN, ARGS)
	@$(IN_RUN) .venv/bin/python scripts/launch.py $(if $(CONTROLLERS),--controllers '$(CONTROLLERS)') $(if $(PLAN),--plan '$(PLAN)') $(ARGS)

status: setup ## Show the state of the last run (PLAN, ARGS)
	@$(IN_RUN) .venv/bin/ansible-playbook playbooks/status.yml $(if $(PLAN),-i '$(PLAN)') $(ARGS)

redis: setup ## Open a prompt on the data of the last run (ARGS="GET phase:larry-01:status" asks once)
	@$(IN_RUN) .venv/bin/python scripts/redis_prompt.py $(ARGS)

bench: setup ## Measure the collection against debug, command and remote modules (ARGS)
	@$(IN_RUN) .venv/bin/python tests/bench/run.py $(ARGS)

bench-all: setup-bench ## Measure it beside other task queues, locks and barriers, about 90 minutes (ARGS=--short: five)
	@PATH="$$PWD/.venv-bench/bin:$$PATH" .venv-bench/bin/python tests/bench/everything.py $(ARGS)

test: setup-test ## Run every check: lint, docs, sanity, drift, unit, integration, model, guards, chaos, molecule, other ansible-cores
	@$(STAGES) all $(ARGS)

lint: setup-test ## ruff, yamllint, ansible-lint (production profile) and antsibull-docs
	@$(STAGES) lint docs

sanity: setup-test ## ansible-test sanity on the built artefact
	@$(STAGES) sanity

unit: setup-test ## Unit tests (ARGS are handed to pytest)
	@$(STAGES) unit $(if $(ARGS),-- $(ARGS))

integration: setup-test ## Integration tests with a real Valkey (ARGS are handed to pytest)
	@$(STAGES) integration $(if $(ARGS),-- $(ARGS))

servers: setup-test ## The protocol's tests on every kind of server: alone, TLS, users, Sentinel, Cluster, Redis (ARGS)
	@.venv-test/bin/python tests/tools/every_server.py $(ARGS)

model: setup-test ## Random histories of three clients against a model, on a real server (MODEL_EXAMPLES=2500 for the long form)
	@$(STAGES) model $(if $(ARGS),-- $(ARGS))

guards: setup-test ## Take each guard out of the scripts in turn: a test must fail (ARGS="--document" writes docs/guards.md)
	@.venv-test/bin/python tests/guards/check.py $(ARGS)

chaos: setup-test ## Run under faults and check every history (SEED, MINUTES, TASKS, FAULTS, ARGS)
	@.venv-test/bin/python tests/chaos/run.py --forms library,controllers --minutes '$(MINUTES)' $(if $(SEED),--seed '$(SEED)') $(if $(TASKS),--tasks '$(TASKS)') $(if $(FAULTS),--faults '$(FAULTS)') $(ARGS)

molecule: setup-test ## The roles under molecule, verified with testinfra
	@$(STAGES) molecule

drift: setup-test ## Documentation, defaults, groups, versions and commands against reality (ARGS are handed to pytest)
	@$(STAGES) drift $(if $(ARGS),-- $(ARGS))

build: setup ## Build the collection artefact into the current directory
	@$(IN_RUN) .venv/bin/ansible-galaxy collection build --force .

docs: setup-test ## Write the roles' README files from their argument specs
	@.venv-test/bin/python scripts/generate_role_readmes.py

changelog: setup-test ## Turn the changelog fragments into CHANGELOG.md, for the version in galaxy.yml
	@PATH="$$PWD/.venv-test/bin:$$PATH" antsibull-changelog release --update-existing --reload-plugins

format: setup-test ## Format the Python files and apply ruff's safe fixes
	@.venv-test/bin/ruff check --fix --quiet . || true
	@.venv-test/bin/ruff format .

lock: setup-test ## Update every pinned dependency (requirements/*.txt) to the newest that the inputs allow
	@PATH="$$PWD/.venv-test/bin:$$PATH" .venv-test/bin/python scripts/lock.py $(ARGS)

clean: ## Remove what runs and tests wrote; the virtual environments stay
	@rm -rf coordination tests/output .cache .ansible .molecule .pytest_cache .ruff_cache .mypy_cache .hypothesis cortex-larry-*.tar.gz
	@find . -path './.venv*' -prune -o -path ./.git -prune -o -type d -name __pycache__ -exec rm -rf {} +

distclean: clean ## Remove the virtual environments too
	@rm -rf .venv .venv-* .venv.*
