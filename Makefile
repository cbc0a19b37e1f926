PYTHON ?= .venv/bin/python

.PHONY: check test faults long bench demo serve

check:  ## types, lint, format, import contracts
	$(PYTHON) -m mypy
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(dir $(PYTHON))lint-imports

test:  ## everything; `make test ARGS=tests/unit` for the fast ones
	$(PYTHON) -m pytest $(ARGS)

faults:  ## servers killed, lines cut, disks full; SOAK_MINUTES=120 keeps at it
	$(PYTHON) -m pytest -m faults $(ARGS)

long:  ## simulations, benchmarks without their figures, the year of the demo, stories of many processes
	$(PYTHON) -m pytest -m long $(ARGS)

bench:  ## ratios within one run
	$(PYTHON) -m pytest tests/benchmarks -m long --benchmark-enable --numprocesses=0 $(ARGS)

demo:  ## a year of flights, in this folder
	$(dir $(PYTHON))registry demo

serve:  ## a Prefect server if none is configured, and all deployments, run from this folder
	$(dir $(PYTHON))registry serve
