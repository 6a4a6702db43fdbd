# The two commands a newcomer needs: `make conformance` and `make test`. Both make .venv first.
# Needs Python 3.11 or newer and make, nothing else. `PIP_OPTIONS` are passed to pip.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SUBJECTS := numpy fused jax torch 'torch?fused=true' 'torch?fused=false' 'torch?foreach=true' \
            'torch?differentiable=true' 'torch?capturable=true' torch.functional optax \
            torch.optim 'torch.optim?foreach=true' 'torch.optim?differentiable=true'

.DEFAULT_GOAL := help
.PHONY: help conformance results test slow lint format bench docs clean

help:  ## what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

# Brought up to date in place when the dependencies change: what is there still works where that fails.
.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) \
	  -c constraints.txt -e '.[dev]'
	@touch $@

conformance: .venv/installed  ## judge the reference, the adapters, torch.optim and optax
	$(BIN)/adamax-conformance check $(SUBJECTS)

results: .venv/installed  ## write what the judge finds of each subject to docs/results.md
	$(BIN)/adamax-conformance check $(SUBJECTS) --format markdown > docs/results.md

test: lint  ## lint, type-check, run the tests that are not slow; COVERAGE=yes counts the lines they reach
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow' --doctest-modules \
	  $(if $(COVERAGE),--cov --cov-report=term)

slow: .venv/installed  ## run the slow tests: every variant, every subject, processes, compilers
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

lint: .venv/installed  ## ruff and mypy strict
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: .venv/installed  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: .venv/installed  ## time steps against those of others; takes twenty minutes of a quiet machine
	$(BIN)/python benchmarks/jax_step.py --json out/jax_step.json --plot out/jax_step.png
	$(BIN)/python benchmarks/cpu_step.py --json out/cpu_step.json --plot out/cpu_step.png

docs: .venv/installed  ## redraw the plot and the table that the README shows
	$(BIN)/python examples/digits.py --plot docs/digits.png

clean:  ## forget .venv and caches
	rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*
