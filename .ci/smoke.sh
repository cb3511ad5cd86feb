#!/bin/sh
# Install the package without extras into an empty environment, import every module, and take photos from a training
# to the predictions of an exported file.
#
#   .ci/smoke.sh [PYTHON]            with the newest versions that the package allows
#   .ci/smoke.sh [PYTHON] lowest     with the lowest ones, those of setup.cfg
#
# SMOKE_VENV names an environment to keep and use again; without it, a temporary one is made and removed.
set -eu
cd "$(dirname "$0")/.."
python="${1:-python3}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
venv="${SMOKE_VENV:-$work/venv}"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
: >"$work/constraints.txt"
[ "${2:-}" != lowest ] || "$venv/bin/python" .ci/lower_bounds.py >"$work/constraints.txt"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$work/constraints.txt" .

imports="$PWD/.ci/import_all.py"
export KERAS_FACEATTR_CACHE="$work/cache" TF_CPP_MIN_LOG_LEVEL=3
# Elsewhere, so that the installed package is meant and not this folder.
cd "$work"
"$venv/bin/python" "$imports"
"$venv/bin/keras-faceattr" fit quickstart \
  --set data.sources.0.options.count=60 --set data.sources.0.options.size=40 --set data.crop.size=32 \
  --set training.epochs=2 --set training.batch_size=8 --set evaluation.bootstrap_samples=20
run="$(echo runs/*)"
"$venv/bin/keras-faceattr" export "$run" --recipe int8_qat \
  --set integer.fine_tuning.epochs=1 --set integer.fine_tuning.frozen_epochs=0 --out export || [ $? = 1 ]
"$venv/bin/keras-faceattr" predict "$(echo export/int8_qat/*.tflite)" "$(dirname "$(find cache/synthetic -name '*.png' -o -name '*.jpg' | head -1)")" \
  --out predictions.csv
[ "$(wc -l <predictions.csv)" = 61 ]
"$venv/bin/python" -c 'import sys, keras, tensorflow
print("smoke: passed with Python", sys.version.split()[0], "TensorFlow", tensorflow.__version__, "Keras", keras.__version__)'
