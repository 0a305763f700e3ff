# One command a duty. Everything is installed into .venv, with versions and hashes pinned.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SDK := sdk/js
# The tests start some hundred processes: what they import is to be compiled once.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: help install install-dev run test lint format docs bench million autobahn fuzz soak chaos servers stories sdk sdk-faults lock clean

help:  ## show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.run  ## install what the gateway needs into .venv
install-dev: $(VENV)/.dev

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.txt pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements/build.txt -r requirements/run.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.examples: $(VENV)/.run requirements/examples.txt
	$(PIP) --require-hashes -r requirements/examples.txt
	@touch $@

$(VENV)/.docs: requirements/docs.txt | $(BIN)/python
	$(PIP) --require-hashes -r requirements/docs.txt
	@touch $@

$(VENV)/.fuzz: $(VENV)/.run requirements/fuzz.txt
	$(PIP) --require-hashes -r requirements/fuzz.txt
	@touch $@

run: install  ## install and start a gateway with an embedded NATS, ready to be pushed to
	@$(BIN)/pushgate run --demo $(ARGS)

stories: $(VENV)/.examples  ## start a gateway and five applications that push through it, and open their page (ARGS=…, see README)
	@$(BIN)/python -m examples.stories $(ARGS)

test: install-dev $(VENV)/.docs  ## install what the tests need and run them (ARGS=… for pytest: some of them, one after the other)
	scripts/install-test-tools
	if command -v npm >/dev/null; then $(MAKE) $(SDK)/node_modules/.package-lock.json; fi
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	$(BIN)/python -m pytest -m "not alone" -n 4 --dist loadfile --no-loadscope-reorder || \
	  $(BIN)/python -m pytest -m "not alone" --last-failed --last-failed-no-failures none
	$(BIN)/python -m pytest -m alone
endif

lint: install-dev  ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install-dev  ## let ruff format and mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs  ## build the documentation site into site/; a link that leads nowhere fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

bench: install  ## measure the three headline loads beside the least that they can cost; exits 1 where one got worse (ARGS=…)
	$(BIN)/python scripts/bench $(ARGS)

million: install  ## hold a million connections on this machine, and do everything with them (ARGS=… for scripts/million)
	$(BIN)/python scripts/million $(ARGS)

autobahn: install-dev  ## all of Autobahn's 517 cases; `make test` leaves out the largest messages
	$(BIN)/python -m tests.wire.autobahn

fuzz: $(VENV)/.fuzz  ## look for bytes that break the readers (SECONDS=60 in all; TARGETS=…)
	scripts/fuzz $(or $(SECONDS),60) $(TARGETS)

soak: install-dev  ## good and bad clients for SECONDS=600; exits 1 where a promise did not hold
	$(BIN)/python -m tests.soak $(or $(SECONDS),600)

chaos: install-dev  ## kill and cut at random under reliable pushes for SECONDS=300 (SEED=… to repeat); exits 1 if any is lost
	$(BIN)/python -m tests.faults $(or $(SECONDS),300) $(SEED)

servers: install-dev  ## fetch what is missing, and run NATS, Redis, ZooKeeper and RocketMQ for trying out, until Ctrl-C (ARGS=redis …)
	scripts/install-test-tools
	PYTHONPATH=. $(BIN)/python scripts/servers $(ARGS)

$(SDK)/node_modules/.package-lock.json: $(SDK)/package.json $(SDK)/package-lock.json
	cd $(SDK) && npm ci --silent
	@touch $@

sdk: $(SDK)/node_modules/.package-lock.json  ## build sdk/js/dist anew from what was changed in sdk/js/src (needs Node.js 18 or newer)
	cd $(SDK) && npm run --silent build

sdk-faults: install-dev sdk  ## hurt pages in a Chromium for CYCLES=100, SECONDS=1200 at most; exits 1 if they lose any
	$(BIN)/python -m tests.sdk.faults $(or $(CYCLES),100) $(or $(SECONDS),1200)

lock:  ## pin the newest versions, with hashes, in requirements/
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --group build -o requirements/build.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  pyproject.toml -o requirements/run.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --group examples -o requirements/examples.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  pyproject.toml --all-extras --group dev -c requirements/run.txt -o requirements/dev.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --group fuzz -o requirements/fuzz.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --group helm --no-deps -o requirements/helm.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --group docs -c requirements/dev.txt -o requirements/docs.txt

clean:  ## remove what install and tests made
	rm -rf $(VENV) site .fuzz .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache $(SDK)/node_modules
