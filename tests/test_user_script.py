"""A script of a user's, as the pages show it, is typed: `py.typed` promises it."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

import keras_faceattr

ROOT = Path(__file__).parents[1]

PAGES = ("README.md", "docs/nets.md", "docs/zoo.md")

SCRIPT = """
import numpy as np

import keras_faceattr as kfa

net: kfa.Net = kfa.load("faces")
ages: list[float] = []
for face in net.predict("group.jpg"):
    answer = face["age"]
    ages.append(answer.value)

model = kfa.models.tiny_att_net((64, 64, 3), minimum=0, maximum=10, step=1, seed=1)
loss: kfa.losses.DLDL = kfa.losses.DLDLv2(minimum=0, maximum=10, step=1, expectation_weight=0.5)
metrics = [kfa.metrics.ExpectationMAE(0, 10, 1), kfa.metrics.CumulativeScore(1.0, 0, 10, 1)]
model.compile("adam", loss=loss, metrics=metrics)
model.fit(np.zeros((2, 64, 64, 3)), np.zeros(2))
head = kfa.layers.ArcFaceHead(3)
whole = kfa.callbacks.WholeSetMetrics(np.zeros(1), np.zeros(1), {"error": lambda labels, said: float(said.sum())})
try:
    kfa.models.decoded(model)
except kfa.FaceAttrError as error:
    print(error)
"""

WRONG = {
    "kfa.models.tiny_at_net((64, 64, 3))": 'Module has no attribute "tiny_at_net"',
    'kfa.models.tiny_att_net((64, 64, 3), seed="one")': 'Argument "seed"',
    'kfa.losses.DLDLv2(minimum=0, maximum="ten", step=1)': 'Argument "maximum"',
    "kfa.losses.DLDLv3(0, 10, 1)": 'Module has no attribute "DLDLv3"',
    "kfa.metrics.CumulativeScore(k=None)": 'Argument "k"',
    "kfa.metrics.ExpectationMEA()": 'Module has no attribute "ExpectationMEA"',
    "kfa.lode('faces')": 'Module has no attribute "lode"',
}
"""Lines that the types refuse, each with a part of what mypy says."""


def python_blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_scripts_of_users_are_typed_and_wrong_ones_are_told(tmp_path: Path) -> None:
    scripts = [SCRIPT, *(block for page in PAGES for block in python_blocks(page) if "import keras_faceattr" in block)]
    assert len(scripts) >= 3
    for number, script in enumerate(scripts):
        (tmp_path / f"script{number}.py").write_text(script, encoding="utf-8")
    lines = ["import keras_faceattr as kfa", *WRONG]
    (tmp_path / "wrong.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    # With the settings of the package, Keras counts as untyped, and what `make types` has found is not found again.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "setup.cfg", *map(str, sorted(tmp_path.glob("*.py")))],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = [re.sub(r"^\S*/", "", line) for line in done.stdout.splitlines()]
    assert told and not done.stderr, done.stderr
    assert not [line for line in told if line.startswith("script")], done.stdout
    for number, part in enumerate(WRONG.values(), start=2):
        assert any(line.startswith(f"wrong.py:{number}:") and part in line for line in told), (part, done.stdout)


def test_the_marker_of_types_is_packaged() -> None:
    assert (Path(keras_faceattr.__file__).parent / "py.typed").is_file()
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert "py.typed" in setup["options.package_data"]["keras_faceattr"]
