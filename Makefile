# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help install demo test check benchmarks lessons clean

help:            ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

install: $(VENV)/developed  ## the environment in .venv, with everything that tests and benchmarks need

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip<26.2"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/developed: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[develop,benchmark]'
	touch $@

demo: $(VENV)/installed  ## train RNNsearch and a small Transformer on dates, and look at what they attend to
	$(BIN)/regard demo --out runs/demo

test: install    ## the test suite, with a process for each processor, up to four
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

check: install   ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

benchmarks: install  ## speed and memory beside the peers, in one run
	$(BIN)/python -m benchmarks

lessons: install ## run all lessons, make notebooks of them, and build the site in build/site
	$(BIN)/python lessons/publish.py

clean:           ## remove the environment and what the demo made
	rm -rf $(VENV) runs build *.egg-info lessons/*.ipynb
