# make demo: a first model, its likelihood and a picture.
# make test: all tests on torch, and on JAX and TensorFlow those that depend on the backend (tests/variants.py).
# make everything: every test on every backend, in half an hour. make quick: what a change touches, on one backend.
# make floor, make newest: some of the tests with the oldest Keras that is supported, and with that of last night.
# make nightly: two processes on JAX and torch with the Keras of last night. make ray: the workers of Ray.
# make fuzz: thousands of calls and recipes that no test has seen; SEED=... makes the same ones again.
# make gpu: the tests that concern a GPU, then the benchmarks, on JAX and torch; appends a table to benchmarks/RESULTS.md.
# make lint: style, rooms, docstrings and types.
# make site: the site, in build/site; first runs the guides that have changed. make guides: these alone.
PYTHON ?= python3
BIN := .venv/bin
BACKENDS := jax torch tensorflow
# One thread for each test process: more threads than cores slow torch down twentyfold.
QUIET := TF_CPP_MIN_LOG_LEVEL=3 OMP_NUM_THREADS=1
# Three test processes on two cores: while one waits, the others compute. Each line that they print names the one.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
AT_ONCE := --no-print-directory --jobs=3 --keep-going
NAMED = 2>&1 | while IFS= read -r line; do echo "$@: $$line"; done

export KERAS_BACKEND ?= jax

.PHONY: demo floor gpu guides newest nightly ray site test $(BACKENDS:%=test-%) everything quick fuzz $(BACKENDS:%=fuzz-%) lint clean

demo: .venv/ready
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python guides/first_model.py

guides: .venv/ready
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python docs/notebooks.py

site: guides
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m sphinx -q -W --keep-going docs build/site
	@echo build/site/index.html

test: lint
	$(MAKE) $(AT_ONCE) $(BACKENDS:%=test-%) floor

$(BACKENDS:%=test-%): test-%: .venv/ready
	$(QUIET) KERAS_BACKEND=$* $(BIN)/python -m pytest $(OPTIONS) tests $(NAMED)
	$(QUIET) KERAS_BACKEND=$* $(BIN)/python -m pytest plugins $(NAMED)

everything:
	$(MAKE) test OPTIONS=--everything

# The tests of what depends on Keras most. FLOOR_BACKEND and NEWEST_BACKEND choose the backend.
ON_KERAS := tests/test_impossible.py tests/test_saving.py tests/test_training.py
FLOOR_BACKEND := torch
NEWEST_BACKEND := torch
INTO = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target build/$@

# The oldest Keras that pyproject.toml admits. Its loader is the first that reads nothing outside of the file.
floor: .venv/ready
	$(INTO) $$(sed -n 's/.*"keras>=\([0-9.]*\)".*/keras==\1/p' pyproject.toml)
	$(QUIET) PYTHONPATH=build/floor KERAS_BACKEND=$(FLOOR_BACKEND) $(BIN)/python -m pytest $(ON_KERAS) -k "not elsewhere" $(NAMED)

newest: .venv/ready
	$(INTO) keras-nightly
	$(QUIET) PYTHONPATH=build/newest KERAS_BACKEND=$(NEWEST_BACKEND) $(BIN)/python -m pytest $(ON_KERAS) -k "not elsewhere"

# Keras' own way to train in several processes on torch comes with 3.16.
nightly: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target build/nightly keras-nightly
	for backend in jax torch; do \
	    $(QUIET) PYTHONPATH=build/nightly KERAS_BACKEND=$$backend $(BIN)/python -m pytest tests/test_devices.py -k processes \
	        || exit; \
	done

ray: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "ray[data]"
	$(QUIET) KERAS_BACKEND=jax $(BIN)/python -m pytest --everything tests/test_scale.py -k ray

# torch compiles nothing, and so is the fastest in tests.
quick: .venv/ready
	$(BIN)/ruff check .
	$(QUIET) KERAS_BACKEND=torch $(BIN)/python -m pytest -n 2 --dist loadgroup $$($(BIN)/python tools/touched.py)

SEED := $(shell date +%s)

fuzz: $(BACKENDS:%=fuzz-%)

$(BACKENDS:%=fuzz-%): fuzz-%: .venv/ready
	$(QUIET) KERAS_AR_FUZZ=2000 KERAS_BACKEND=$* $(BIN)/python -m pytest --everything --hypothesis-seed=$(SEED) \
	    --hypothesis-show-statistics tests/test_fuzz.py tests/test_fuzz_recipes.py tests/test_cli.py -k "fuzz or killed"

# An environment with the GPU builds of JAX and torch: make gpu BIN=/path/to/its/bin
ON_GPU := devices base conformance variants image_models oracles image_oracles sequences sequence_oracles complete \
    shaping training impossible traced

gpu:
	for backend in jax torch; do \
	    XLA_FLAGS= XLA_PYTHON_CLIENT_PREALLOCATE=false OMP_NUM_THREADS=1 KERAS_BACKEND=$$backend \
	        $(BIN)/python -m pytest -n 4 $(ON_GPU:%=tests/test_%.py) || exit; \
	done
	$(BIN)/python benchmarks/on_device.py

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/lint.py
	$(BIN)/mypy

# The environment: everything that development needs, in the versions of constraints.txt.
.venv/ready: pyproject.toml constraints.txt $(wildcard plugins/*/pyproject.toml)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]" \
	    $(addprefix -e ,$(wildcard plugins/*/))
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
