# Everything works from a fresh clone: each goal makes .venv first, with the interpreter PYTHON, and
# installs what it needs. A .venv of another interpreter is made anew; one that fits is kept, so a
# second call is quick.
#
#   make demo     the login server and its client, side by side
#   make test     all tests (ARGS="tests/window -x" passes arguments to pytest)
#   make lint     ruff and mypy --strict
#   make bench    servers against their peers, with a table of ratios (bench-quick: in minutes)
#   make docs     the reference of the public names, as pages in build/docs

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
EXTRAS := win32,cli,pcap,server,test,lint

# What the environment was made with, and what it would be made with now.
WANTED := $(shell $(PYTHON) -c 'import sys; print(sys.version.split()[0], sys.base_prefix)')
FOUND := $(shell cat $(VENV)/interpreter 2>/dev/null)

.PHONY: demo test lint bench bench-quick docs clean
.DEFAULT_GOAL := test

ifneq ($(WANTED),$(FOUND))
.PHONY: $(VENV)/interpreter
endif

$(VENV)/interpreter:
	@test -n "$(WANTED)" || { echo "no Python at '$(PYTHON)': set PYTHON=" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@rm -f $(VENV)/installed-*
	@echo "$(WANTED)" > $@

$(VENV)/installed-all: pyproject.toml $(VENV)/interpreter
	$(RUN) -m pip install -qq --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

# The benchmarks have an environment of their own, with every peer at a pinned version.
$(VENV)-bench/installed-all: benchmarks/requirements.txt pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install -qq --disable-pip-version-check \
	    -r benchmarks/requirements.txt --editable .
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed-all
	$(RUN) -m pip install -qq --disable-pip-version-check --editable '.[docs]'
	@touch $@

demo: $(VENV)/installed-all
	$(RUN) -m examples.login_server.demo

test: $(VENV)/installed-all
	$(RUN) -m pytest $(ARGS)

lint: $(VENV)/installed-all
	$(RUN) -m ruff check .
	$(RUN) -m mypy

bench: $(VENV)-bench/installed-all
	$(VENV)-bench/bin/python -m benchmarks $(ARGS)

bench-quick: $(VENV)-bench/installed-all
	$(VENV)-bench/bin/python -m benchmarks --suite quick $(ARGS)

docs: $(VENV)/installed-docs
	$(RUN) -m pdoc --output-directory build/docs wsock wsock.errors wsock.constants \
	    wsock.virtual wsock.win32 wsock.tdi wsock.tdimon

clean:
	rm -rf $(VENV) $(VENV)-bench build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
