# make run    from nothing to the chat on http://127.0.0.1:7860
# make test   from nothing to a green test run
PYTHON ?= python3
PORT ?= 7860
CORPUS ?= corpus
INDEX ?= index
BIN := .venv/bin

.PHONY: help run build test lint reliability fuzz eval wheel clean check-python

help:
	@sed -n 's/^# //p' Makefile

run: .venv/.run
	$(BIN)/rag build $(CORPUS) --index-dir $(INDEX)
	$(BIN)/python app.py --index-dir $(INDEX) --corpus-dir $(CORPUS) --port $(PORT)

# make build  bring the index up to date with corpus/
build: .venv/.run
	$(BIN)/rag build $(CORPUS) --index-dir $(INDEX)

test: .venv/.test lint
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest

# make lint   formatting, style and types
lint: .venv/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy rag app.py

# make reliability  every promise of SECURITY.md to its full pass mark (hours), and a report; ONLY="-k p05" for some
reliability: .venv/.test
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 SANAD_RELIABILITY=full \
	SANAD_RELIABILITY_REPORT=benchmarks/results/reliability.json \
	$(BIN)/python -m pytest tests/reliability --timeout 0 -m "slow or not slow" $(ONLY)

# make fuzz   guided fuzzing of what takes bytes from outside, SECONDS=60 a target
SECONDS ?= 60
fuzz: .venv/.test
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 SANAD_RELIABILITY=full SANAD_FUZZ_SECONDS=$(SECONDS) \
	$(BIN)/python -m pytest tests/reliability/test_p19_fuzz.py --timeout 0

# make eval   the figures of the README, from the questions in tests/questions
eval: .venv/.run build
	$(BIN)/rag eval tests/questions/corpus.ar.jsonl tests/questions/corpus.en.jsonl --index-dir $(INDEX)

# make wheel  the installable package, in dist/
wheel: .venv/.test
	$(BIN)/python -m build --wheel

# make clean  forget the environment and the built index
clean:
	rm -rf .venv build dist *.egg-info $(INDEX)/gen-* $(INDEX)/CURRENT $(INDEX)/.lock

check-python:
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is missing; install Python 3.11 or newer (Debian: apt install python3 python3-venv)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed, this is `$(PYTHON) -V`"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: the venv module is missing (Debian: apt install python3-venv)"; exit 1; }

.venv/.run: pyproject.toml | check-python
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/.test: .venv/.run
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@
