# make demo   set up, convert the sample log that ships with tracekit, say where things are
# make test   set up with the development tools, run every check
# make lab    open the book in JupyterLab          make docs   build the site (needs Quarto)
# make bench  measure speed and memory             make export  notebooks -> package, README, llms.txt, clean
# make trust  the long form of the tests of promises (an hour or two); its figures go to the page Guarantees
# make browser  Chromium and axe-core for the tests of the viewers, if they are missing

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: demo test trust browser lab docs bench export sync check

demo: .venv/ready
	$(BIN)/tracekit demo

test: .venv/ready-dev browser
	$(BIN)/python -m tools.check
	$(BIN)/python -m pytest -n 2 --dist loadfile

trust: .venv/ready-dev
	$(BIN)/python tests/trust.py
	$(BIN)/python -m tools.docs run nbs/guarantees.ipynb
	$(BIN)/nbdev_clean

browser:
	@sh tools/browser.sh

lab: .venv/ready-dev
	$(BIN)/jupyter lab nbs

docs: .venv/ready-dev
	$(BIN)/python -m tools.docs site

bench: .venv/ready-dev
	$(BIN)/python benchmarks/convert.py
	$(BIN)/python benchmarks/score.py
	$(BIN)/python benchmarks/view.py

export: .venv/ready-dev
	$(BIN)/nbdev_export
	$(BIN)/python -m tools.docs run
	$(BIN)/nbdev_clean
	$(BIN)/python -m tools.docs readme
	$(BIN)/python -m tools.docs llms

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/ready-dev: pyproject.toml .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@
