# Everything happens in .venv; outside the checkout nothing is touched, but that `make test`
# installs Chromium.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test coverage bench lint clean browser

help:
	@echo "make install  prefrl and its tools into .venv"
	@echo "make demo     train on the simplest task, about a minute"
	@echo "make test     format, lint, types and tests, in Debian's Chromium too; 16 to 25 minutes"
	@echo "make coverage which branches of the code the tests reach"
	@echo "make bench    Pong's speed beside stock Stable-Baselines3; some 13 minutes, without bfloat16 25"
	@echo "make lint     the first three of these"
	@echo "make clean    remove .venv and caches; runs/ stays"
	@echo "Another interpreter: make install PYTHON=python3.12"

install: $(STAMP)

# pip builds prefrl itself apart from .venv: since 25.3 constraints reach there by the second
# variable, before that by the first.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT="$(CURDIR)/constraints.txt" PIP_BUILD_CONSTRAINT="$(CURDIR)/constraints.txt" \
		$(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check \
		-c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/prefrl train moving-dot-position

BESIDE := -n 2 --dist loadfile --no-loadscope-reorder -m "not alone"

test: lint browser
	$(BIN)/python -m pytest $(BESIDE) --durations=15
	$(BIN)/python -m pytest -m alone --durations=10

# Takes a third longer than without, which is why `make test` does not.
coverage: $(STAMP) browser
	$(BIN)/python -m pytest $(BESIDE) --cov --cov-report=
	$(BIN)/python -m pytest -m alone --cov --cov-append --cov-report=term:skip-covered \
		--deselect tests/test_fast_paths.py

bench: $(STAMP)
	$(BIN)/python experiments/speed.py

# The tests of the label page drive Debian's Chromium.
browser:
	@command -v chromium >/dev/null || { \
		echo "installing Debian's chromium, which the tests of the label page need"; \
		root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$root apt-get -qq update && $$root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
			--no-install-recommends chromium >/dev/null; \
	}

lint: $(STAMP)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* dist
	find prefrl envs tests experiments -name __pycache__ -type d -prune -exec rm -rf {} +
