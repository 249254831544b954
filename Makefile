# Isthmus: thin names for what a developer does. `make` alone lists them.
SHELL := /bin/bash
export UV_PYTHON_DOWNLOADS := never
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := .venv/bin/
PYTEST := $(RUN)python -m pytest
LONG := streaming hostile journeys engines demo web proof  # left to `make test`

GUARDS := trust/test_jws.py trust/test_replay.py trust/test_strict_json.py wire/test_tokens.py signin/test_oidc.py consent audit/log \
	audit/evidence audit/test_access.py audit/test_commands.py audit/test_events_for_others.py audit/test_merkle.py audit/test_query.py \
	audit/test_retention.py audit/test_trail.py audit/test_trial.py audit/test_verify.py country_a/test_answers.py country_a/test_corrected.py \
	country_a/test_emergency.py country_a/test_failures.py country_a/test_gate.py country_a/test_limits.py country_a/test_receipts.py \
	country_a/test_streams.py country_a/test_who_asks.py country_b/test_refused_here.py country_b/test_tokens.py hostile/test_attacks.py \
	hostile/test_border.py hostile/test_token_corpus.py hostile/test_twins.py operations/test_watching.py

.DEFAULT_GOAL := help
.PHONY: help setup web demo check test proof coverage mutants conformance fix sbom advisories

help: ## list the verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

.uv/bin/uv:
	@$(PYTHON) -m venv .uv && .uv/bin/pip install -q --disable-pip-version-check 'uv>=0.13,<0.14'

setup: .venv/.ready web ## put everything that is needed into this clone

.venv/.ready: pyproject.toml uv.lock $(if $(filter .uv/bin/uv,$(UV)),.uv/bin/uv,)
	@echo "setting up Python packages …"
	@$(UV) sync -q --frozen --python $(PYTHON)
	@touch $@

web: .venv/.ready ## build the portal's scripts and catalogues (skipped when nothing changed)
	@$(RUN)python hatch_build.py

demo: setup ## two demo countries on this machine: prints the portal's address and accounts
	@exec $(RUN)isthmus demo

check: setup ## format, lint, strict types, import contracts, quick tests: before every commit
	$(RUN)ruff format --check src tests tools hatch_build.py
	$(RUN)ruff check src tests tools hatch_build.py
	$(RUN)mypy
	$(RUN)lint-imports
	$(RUN)python hatch_build.py run check
	$(RUN)python hatch_build.py run test
	$(PYTEST) -q -n 2 -m "not slow and not browser" tests $(LONG:%=--ignore=tests/%)

test: setup ## the whole suite (T=tests/wire for a part)
	$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder $(or $(T),tests)  # on two cores: many a test waits for a node, a PACS or a browser

proof: setup ## the long proofs: by hand, the result committed with date and machine
	$(PYTEST) -m slow --run-proof -p no:xdist $(or $(T),tests/proof)

coverage: setup ## branch coverage of what guards the border: tokens, gate, decision, trail
	@mkdir -p tmp && $(UV) pip install -q --python .venv 'coverage>=7.17,<8'
	PYTHONPATH=tools $(RUN)coverage run --rcfile=tools/coverage.ini -m pytest -q -p contexts -p no:xdist $(GUARDS:%=tests/%)
	@for group in '*/tokens.py,*/jws.py,*/strict_json.py,*/replay.py' '*/gate.py,*/passes.py' '*/decision.py,*/speaking.py,*/directives.py' '*/trail.py,*/merkle.py,*/verify.py'; do \
		$(RUN)coverage report --rcfile=tools/coverage.ini --include="$$group" --fail-under=95 || exit 1; done

mutants: coverage ## change the same code in 140 places, each by itself, and see whether a test notices: by hand
	$(RUN)python tools/mutants.py

conformance: setup ## run the tests that show a requirement, then write docs/conformance/requirements.md and the table of threats
	$(PYTEST) -n 2 --dist loadfile -m requirement tests
	$(RUN)python tools/requirements.py
	$(RUN)python tools/threats.py

fix: setup ## format and mend what the linter can
	$(RUN)ruff format src tests tools hatch_build.py
	$(RUN)ruff check --fix src tests tools hatch_build.py

sbom: setup ## what the product is made of, as CycloneDX (printed)
	@$(UV) export -q --frozen --no-dev --format cyclonedx1.5

advisories: setup ## known faults of what the product is made of (asks the network; for a scheduled job, never a gate)
	@$(UV) audit --frozen --no-dev && cd web && ../.venv/bin/python -c 'import sys; sys.path.insert(0, ".."); import hatch_build; hatch_build.npm("audit", "--omit=dev")'
