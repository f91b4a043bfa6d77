# make demo    the main job on a real model       make test    what CI runs
# Both set up .venv first; a second run is quick.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.10 python3; do \
	$$p -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: install demo browser test test-scaled lint suite coverage matrix sweep bench conformance fuzz chaos docs clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt tools/install.py
	@test -n "$(PYTHON)" || { echo "make: Python 3.10, 3.11 or 3.12 is needed; set PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) tools/install.py $(VENV)

demo: install
	$(BIN)/zoo demo $(ARGS)

test: install lint browser
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

# For the tests of pages in a browser; they are skipped where there is none and it cannot be installed.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -qq update \
	&& DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends chromium >/dev/null; } \
	|| echo "make: no chromium: pages are not tested in a browser" >&2

# The same tests with a PostgreSQL and a bucket: docs/scaling.md.
test-scaled: install
	POLYZOO_TEST_SETUP=scaled $(BIN)/python -m pytest tests/registry tests/api tests/hub tests/client tests/jobs \
		tests/operations tests/scaled tests/conformance $(ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every release of the hub clients, each in an environment of its own; `make test` has the newest only.
conformance: install
	POLYZOO_CONFORMANCE=all $(BIN)/python -m pytest tests/conformance $(ARGS)

# The ONNX backend suite on emitted source, every case that does not pass with its reason.
suite: install
	for f in pytorch paddle mindspore; do $(BIN)/python tests/emitters/onnx_suite.py $$f || exit 1; done

# Runs it too, and writes what passes into the ledgers and docs/coverage.md.
coverage: install
	$(BIN)/python tests/emitters/test_onnx_suite.py $(ARGS)

# Published models from every framework to every one; writes docs/matrix.md. Takes 40 minutes.
matrix: install
	$(BIN)/python tests/matrix/matrix.py $(ARGS)

# Models that no rule was written for, with random weights; writes docs/sweep.md. Takes an hour.
sweep: install
	$(BIN)/python tests/sweep/sweep.py $(ARGS)

# Speed and memory beside `cp`, the frameworks and the originals of emitted models; writes docs/benchmarks.md.
# Takes an hour.
bench: install
	$(BIN)/python benchmarks/models.py
	$(BIN)/python benchmarks/checkpoints.py $(ARGS)
	$(BIN)/python benchmarks/catalogue.py
	$(BIN)/python benchmarks/serving.py

# Coverage-guided fuzzing of the readers: make fuzz ARGS=600 (seconds). Python 3.11, Linux.
fuzz: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[fuzz]'
	$(BIN)/python tests/fuzz/fuzz_checkpoints.py build/fuzz -max_total_time=$(or $(ARGS),60) -timeout=5

# Three workers killed and stopped at random, on each set-up: make chaos ARGS=600 (seconds).
chaos: install
	$(BIN)/python tests/jobs/chaos.py sqlite $(or $(ARGS),120)
	$(BIN)/python tests/jobs/chaos.py postgresql $(or $(ARGS),120)
	$(BIN)/python tests/jobs/chaos.py scaled $(or $(ARGS),120)

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
