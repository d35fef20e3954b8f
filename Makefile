# `make demo` and `make test` do all the set-up on a fresh machine; everything runs in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo demo-s3 backbone study-utd clean-demo check test test-slow test-machines fuzz lint docs bench bench-sim bench-classify bench-devices bench-driver bench-embed bench-ingest bench-ingest-references bench-scale bench-stream bench-stream-scale bench-train bench-transforms bench-shortcuts

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 13), "persondays needs Python 3.11 to 3.13; name one with make PYTHON=..."'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .[dev]
	touch $@

demo: setup
	$(BIN)/persondays demo runs/demo

demo-s3: setup
	$(BIN)/python infra/demo_s3.py runs/demo-s3

# NAME and DATA have to be given: make backbone NAME=mine DATA=../shared/data [RECIPE=small]. It resumes.
RECIPE ?= small

backbone: setup
	$(BIN)/python infra/backbone.py '$(DATA)' '$(NAME)' --recipe '$(RECIPE)'

# Needs UTD-MHAD: of ../shared/data, or PAIRED=FOLDER as `persondays labelled utd-mhad` makes it. It resumes.
SEEDS ?= 1

study-utd: setup
	$(BIN)/python -m bench.utd_mhad --seeds '$(SEEDS)' $(if $(PAIRED),--paired '$(PAIRED)')

clean-demo:
	rm -rf runs/demo runs/demo-s3

# While you work: the folders whose tests call functions; the others run commands, servers and Ray.
check: lint
	$(BIN)/pytest --numprocesses 2 --dist loadgroup tests/test_arrows.py tests/pipeline/numerics tests/pipeline/store \
		tests/ingest/devices tests/ingest/signal tests/train/networks tests/train/optim tests/train/transforms tests/train/windows

test: setup
	$(BIN)/pytest --numprocesses 2 --dist loadgroup

test-slow: setup
	$(BIN)/pytest -m slow

# Takes an hour, so nothing else runs it. Some configurations: make test-machines ON="sse4 one-core"; the list: .venv/bin/python -m tests.machines --help
test-machines: setup
	$(BIN)/python -m tests.machines $(ON)

fuzz: setup
	PERSONDAYS_FUZZ=5000 $(BIN)/pytest -rP tests/ingest/devices/test_fuzz.py
	PERSONDAYS_FUZZ=2000 $(BIN)/pytest --numprocesses 2 tests/ingest/devices/test_fuzz_honest.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, in build/site, with warnings as errors: so not --quiet, which hides warnings from strict as well.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

bench: bench-sim

bench-sim: setup
	$(BIN)/python -m bench.simulator

bench-classify: setup
	$(BIN)/python -m bench.classify

bench-devices: setup
	$(BIN)/python -m bench.devices

bench-driver: setup
	$(BIN)/python -m bench.driver

bench-embed: setup
	$(BIN)/python -m bench.embed

bench-ingest: setup
	$(BIN)/python -m bench.ingest

bench-ingest-references: setup
	$(BIN)/python -m bench.signal

bench-scale: setup
	$(BIN)/python -m bench.scale

bench-stream: setup
	$(BIN)/python -m bench.stream

bench-stream-scale: setup
	$(BIN)/python -m bench.stream.scale

bench-train: setup
	$(BIN)/python -m bench.train

bench-transforms: setup
	$(BIN)/python -m bench.transforms

bench-shortcuts: setup
	$(BIN)/python -m bench.shortcuts
