PYTHON ?= .venv/bin/python

.PHONY: check test bench demo serve

check:  ## types, lint, format, import contracts
	$(PYTHON) -m mypy
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(dir $(PYTHON))lint-imports

test:  ## everything; `make test ARGS=tests/unit` for the fast ones
	$(PYTHON) -m pytest $(ARGS)

bench:  ## ratios within one run
	$(PYTHON) -m pytest tests/benchmarks --benchmark-enable --numprocesses=0 $(ARGS)

demo:  ## a year of flights, in this folder
	$(dir $(PYTHON))registry demo

serve:  ## a Prefect server if none is configured, and all deployments, run from this folder
	$(dir $(PYTHON))registry serve
