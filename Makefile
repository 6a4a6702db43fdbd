# The two commands a newcomer needs: `make conformance` and `make test`. Both make .venv first.
# Needs Python 3.11 or newer and make, nothing else. `PIP_OPTIONS` are passed to pip.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SUBJECTS := numpy fused jax torch 'torch?fused=true' 'torch?fused=false' 'torch?foreach=true' \
            'torch?differentiable=true' 'torch?capturable=true' torch.functional optax \
            torch.optim 'torch.optim?foreach=true' 'torch.optim?differentiable=true'

TIER := light
CHROMIUM ?= $(shell command -v chromium || command -v google-chrome || echo chromium)
TFJS := scoreboard/tfjs/node_modules/.package-lock.json

.DEFAULT_GOAL := help
.PHONY: help light scoreboard conformance results test fast slow lint format bench docs clean

help:  ## what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

# Brought up to date in place when the dependencies change: what is there still works where that fails.
.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) \
	  -c constraints.txt -e '.[dev]'
	@touch $@

# An environment over .venv for the subjects of scoreboard/NAME.txt: a .pth file adds the packages of
# .venv, since a virtual environment does not see those of the one that made it. pip and setuptools are
# those of .venv too. npdl's setup needs the numpy that is installed.
.venv-%/installed: scoreboard/%.txt .venv/installed
	test -x .venv-$*/bin/python || $(BIN)/python -m venv --without-pip .venv-$*
	$(BIN)/python -c 'import sysconfig as s; print("import site; site.addsitedir(%r)" % s.get_path("purelib"))' \
	  > "$$(.venv-$*/bin/python -c 'import sysconfig as s; print(s.get_path("purelib"))')/base.pth"
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) \
	  --no-build-isolation -r $<
	@touch $@

light: .venv-light/installed $(TFJS)  ## install the subjects that .venv has not: those of Python in .venv-light

$(TFJS): scoreboard/tfjs/package-lock.json
	npm ci --prefix scoreboard/tfjs --loglevel=error --no-audit --no-fund

scoreboard: .venv/installed  ## judge the implementations of others, in docs/scoreboard.html; TIER=full for all
	$(BIN)/python scoreboard/judge.py '$(TIER)'

conformance: .venv/installed  ## judge the reference, the adapters, torch.optim and optax
	$(BIN)/adamax-conformance check $(SUBJECTS)

results: .venv/installed  ## write what the judge finds of each subject to docs/results.md
	$(BIN)/adamax-conformance check $(SUBJECTS) --format markdown > docs/results.md

test: .venv/installed  ## lint, type-check and, meanwhile, run the tests that are not slow
	$(MAKE) --jobs 2 lint fast

fast: .venv/installed  ## run the tests that are not slow; COVERAGE=yes counts the lines they reach
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

bench: .venv/installed  ## time steps against those of others, and checkpoints; takes twenty minutes of a quiet machine
	$(BIN)/python benchmarks/jax_step.py --json out/jax_step.json --plot out/jax_step.png
	$(BIN)/python benchmarks/cpu_step.py --json out/cpu_step.json --plot out/cpu_step.png
	$(BIN)/python benchmarks/checkpoint.py

docs: .venv/installed docs/scoreboard.png  ## redraw the pictures of the README and of docs/checkpoint.md
	$(BIN)/python examples/digits.py --plot docs/digits.png
	$(BIN)/python examples/switch.py --plot docs/switch.png

docs/scoreboard.png: docs/scoreboard.html
	$(CHROMIUM) --headless --no-sandbox --hide-scrollbars --window-size=1280,1000 \
	  --screenshot=$@ file://$(CURDIR)/$<

clean:  ## forget the environments and caches
	rm -rf .venv .venv-* dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*
