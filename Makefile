# `make demo` and `make test` are all a newcomer needs. Both make their own environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := PATH="$(abspath $(BIN)):$$PATH"
PORT ?= 5000

.PHONY: demo ui test test-cluster check fast pipeline real docs reruns lock clean

demo: $(VENV)/run.ready
	$(RUN) snakemake --profile profiles/local
	$(RUN) brainuad show results/demo

ui: $(VENV)/run.ready
	$(RUN) brainuad ui --port $(PORT)

# Fast tests first, so that a mistake shows within seconds.
test: check fast pipeline real

check: $(VENV)/dev.ready
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) snakefmt --check Snakefile rules
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) snakemake --lint

fast: $(VENV)/dev.ready
	$(RUN) pytest -n 2 --ignore tests/pipeline --ignore tests/real tests

pipeline: $(VENV)/dev.ready
	$(RUN) pytest tests/pipeline

real: $(VENV)/dev.ready
ifdef BRAINUAD_REAL_DATA
	$(RUN) pytest tests/real
else
	@echo "tests on real scans left out: set BRAINUAD_REAL_DATA to a folder laid out as docs/data.md says"
endif

# On a real Slurm of one node; installs Debian's packages where Slurm is missing. ARGS go to pytest.
test-cluster: $(VENV)/dev.ready
	$(RUN) tests/cluster/run.sh $(ARGS)

# Pages and the schema that are made from the code; a test fails when they are behind.
docs: $(VENV)/dev.ready
	$(RUN) brainuad reference

# The drivers that torch brings for a GPU are left to torch itself: it was installed first.
reruns: $(VENV)/dev.ready
	$(RUN) pytest tests/pipeline/test_reruns.py --write-reruns

lock:
	uv pip compile -q --universal --no-header --no-annotate --python-version 3.11 pyproject.toml \
	  | grep -Ev '^(nvidia|cuda|triton)' > requirements.txt
	uv pip compile -q --universal --no-header --no-annotate --python-version 3.11 --extra dev pyproject.toml \
	  | grep -Ev '^(nvidia|cuda|triton)' > requirements-dev.txt

$(VENV)/run.ready: requirements.txt
	@echo "making the environment in $(VENV), about two minutes"
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
