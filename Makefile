# make train    builds .venv, installs, provides Fashion-MNIST, trains LeNet
# make test     the same, then the tests; make check: linter and types; make test-slow: the long tests
# make docs     the site, into docs/_build/html
# make test-browser  tests of the HTML pages, in Chromium
# make bench    speed, side by side with the usual ways; make bench-sweep: runs per hour
.PHONY: setup train test test-slow test-browser test-without-speed check docs bench bench-sweep clean
.DEFAULT_GOAL := train

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin

setup: .venv/installed data/fashion_mnist/meta.json

.venv/installed: pyproject.toml constraints.txt $(wildcard src/fc2conv/speed/kernels.c)
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v >= (3, 11) else "Python 3.11 or newer is needed, this is %d.%d; make PYTHON=python3.11" % v)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	# W&B's schema of sweep files, for a test; alone, since it asks for an old numpy that nothing here needs
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps sweeps
	touch $@

# Debian's package is the source that needs no mirror; where it cannot be had, torchvision downloads.
data/fashion_mnist/meta.json: | .venv/installed
	@if [ ! -d /usr/share/datasets/fashion-mnist ] && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  apt-get install -y -qq dataset-fashion-mnist >/dev/null 2>&1 \
	  || { apt-get update -qq && apt-get install -y -qq dataset-fashion-mnist >/dev/null; } \
	  || echo "dataset-fashion-mnist could not be installed; trying torchvision's download" >&2; fi
	$(BIN)/python -c 'from fc2conv.config.schema import DataConfig; from fc2conv.data.sources import load; load(DataConfig())'

train: setup
	$(BIN)/python train.py model=lenet $(ARGS)

test: setup
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal $(ARGS)

# the ray extra is for its test alone, and large
test-slow: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ray]'
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m slow $(ARGS)

# Debian's Chromium; another one: FC2CONV_CHROMIUM=/path/to/chrome
test-browser: setup
	@if [ -z "$$FC2CONV_CHROMIUM" ] && ! command -v chromium chromium-browser google-chrome >/dev/null \
	    && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  apt-get install -y -qq chromium >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } \
	  || echo "chromium could not be installed" >&2; fi
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m browser $(ARGS)

# The folder speed/ is optional: what is left of a clone without it installs, and passes its main tests.
test-without-speed:
	rm -rf build/without-speed
	git clone --quiet . build/without-speed
	rm -rf build/without-speed/src/fc2conv/speed build/without-speed/tests/speed
	$(MAKE) -C build/without-speed test ARGS="tests/data tests/nets tests/training/test_models.py tests/training/test_run.py tests/test_entry.py"

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/biome check --error-on-warnings

# A warning ends it: a link that leads nowhere, a public name without a docstring, a page that would ask the network
docs: .venv/installed
	$(BIN)/python -m sphinx --builder html --nitpicky --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo 'The site: docs/_build/html/index.html'

bench: setup
	$(BIN)/python benchmarks/throughput.py $(ARGS)

bench-sweep: setup
	$(BIN)/python benchmarks/sweep.py $(ARGS)

clean:
	rm -rf .venv build docs/_build src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
