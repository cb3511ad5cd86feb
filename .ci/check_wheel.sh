#!/bin/sh
# Builds the wheel, unpacks it into an empty environment, imports every module and resolves every config there.
set -eu
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
.venv/bin/python -m keras_faceattr.demo.vendor
.venv/bin/python -m build --wheel --outdir "$work" . >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
.venv/bin/python -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "$work"/*.whl
# The dependencies are those of .venv: installing TensorFlow again would prove nothing about the wheel.
site="$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
own="$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
imports="$PWD/.ci/import_all.py"
recipes="$(find export/recipes -name '*.yaml' | wc -l)"
cd "$work"
PYTHONPATH="$own:$site" "$work/venv/bin/python" "$imports"
PYTHONPATH="$own:$site" "$work/venv/bin/python" - "$own" "$recipes" <<'PYTHON'
import sys

import keras_faceattr
from keras_faceattr.config import Experiment
from keras_faceattr.features.experiment import FeatureExperiment
from keras_faceattr.config_files import CONFIG_FOLDER, experiment_kind, load_section, config_names
from keras_faceattr.tabular.experiment import TableExperiment

assert keras_faceattr.__file__.startswith(sys.argv[1]), keras_faceattr.__file__
names = config_names()
assert "quickstart" in names, names
kinds = {"photos": Experiment, "features": FeatureExperiment, "table": TableExperiment}
for name in names:
    load_section(kinds[experiment_kind(name)], CONFIG_FOLDER, name, "config")
from keras_faceattr.budget.limits import BUDGET_FOLDER, load_budget
from keras_faceattr.budget.devices import device_classes
from keras_faceattr.convert.recipe import export_recipe_names, load_recipe
from keras_faceattr.artifact.sidecar import SCHEMA_PATH

assert load_recipe("int8_qat") and len(export_recipe_names()) == int(sys.argv[2])
assert [load_budget(path.stem) for path in BUDGET_FOLDER.glob("*.yaml")] and device_classes()
assert SCHEMA_PATH.is_file(), SCHEMA_PATH
from keras_faceattr.demo.vendor import is_whole, web_folder

assert (web_folder() / "index.html").is_file() and is_whole(web_folder() / "vendor" / "litert"), web_folder()
print(f"wheel: {len(names)} configs resolved")
PYTHON
