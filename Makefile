# `make demo` and `make test` are enough to start. Both create their own environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := PATH="$(abspath $(BIN)):$$PATH"
PORT ?= 5000
SKIPPED := tests on real scans are skipped: set BRAINUAD_REAL_DATA to a folder with the layout of docs/data.md

.PHONY: demo ui test test-cluster check style types fast studies pipeline real own docs reruns lock clean

demo: $(VENV)/run.ready
	$(RUN) snakemake --profile profiles/local
	$(RUN) brainuad show results/demo

ui: $(VENV)/run.ready
	$(RUN) brainuad ui --port $(PORT)

# Fast checks first, so that a mistake shows within seconds. mypy takes a minute of one core: tests run beside it.
test: style
	$(MAKE) -j 2 types fast
	$(MAKE) studies

check: style types

types: $(VENV)/dev.ready
	$(RUN) mypy

style: $(VENV)/dev.ready
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) snakefmt --check Snakefile rules workflow
	$(RUN) lint-imports
	$(RUN) snakemake --lint

# Two processes run at once; more threads in each would only wait for each other.
fast pipeline real own: export OMP_NUM_THREADS := 1

fast: $(VENV)/dev.ready
	$(RUN) pytest -n 2 --ignore tests/pipeline --ignore tests/real tests

# Two at once; the third begins where one of them ends.
studies: $(VENV)/dev.ready
	$(MAKE) -j 2 pipeline real own

pipeline: $(VENV)/dev.ready
	$(RUN) pytest --ignore tests/pipeline/own tests/pipeline

own: $(VENV)/dev.ready
	$(RUN) pytest tests/pipeline/own

real: $(VENV)/dev.ready
	$(if $(BRAINUAD_REAL_DATA),$(RUN) pytest tests/real,@echo "$(SKIPPED)")

# On a real Slurm with one node; installs Debian packages if Slurm is missing. ARGS are passed to pytest.
test-cluster: $(VENV)/dev.ready
	$(RUN) tests/cluster/run.sh $(ARGS)

# Pages and the schema that are generated from the code; a test fails if they are outdated.
docs: $(VENV)/dev.ready
	$(RUN) brainuad reference

# The table of reruns in docs/reruns.md, from dry runs.
reruns: $(VENV)/dev.ready
	$(RUN) pytest tests/pipeline/test_reruns.py --write-reruns

# GPU drivers are left out: torch, which is installed first, brings those that it needs.
lock:
	uv pip compile -q --universal --no-header --no-annotate --python-version 3.11 pyproject.toml \
	  | grep -Ev '^(nvidia|cuda|triton)' > requirements.txt
	uv pip compile -q --universal --no-header --no-annotate --python-version 3.11 --extra dev pyproject.toml \
	  | grep -Ev '^(nvidia|cuda|triton)' > requirements-dev.txt

$(VENV)/run.ready: requirements.txt
	@echo "creating the environment in $(VENV), about two minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/dev.ready: requirements-dev.txt $(VENV)/run.ready
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) results .snakemake
