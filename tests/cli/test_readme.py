"""Every command and Python block of the README and the guides runs as it stands there, on small data."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from doc_blocks import blocks

from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.data.datasets import READERS
from keras_faceattr.data.synthetic import synthetic_photo

from .conftest import SMALL, Cli

RUN = [block for block in blocks() if not block.why]
COMMANDS = list(dict.fromkeys(command for block in RUN if block.kind == "sh" for command in block.commands))
PYTHON: dict[str, list[str]] = {}
"""Blocks by page; a page's later ones go on where its earlier ones stopped."""
for block in RUN:
    # The code of a port is run on files of every kind, in a test of its own.
    if block.kind == "python" and not block.page.endswith("file-in-your-app.md"):
        PYTHON.setdefault(block.page, []).append(block.code)
NEEDS_DATA = [line for line in COMMANDS if "=PATH" in line]
OTHERS = [line for line in COMMANDS if line not in NEEDS_DATA and "KERAS_BACKEND" not in line]
SLOW = ("fit", "export", "benchmark", "demo")
"""Commands that train, convert or build. What each does is tested in a file of its own."""

FAST = [
    "--set", "training.epochs=1", "--set", "training.steps_per_epoch=2", "--set", "training.batch_size=8",
    "--set", "data.crop.size=32", "--set", "evaluation.bootstrap_samples=5",
]  # fmt: skip


FAST_TABLE = [
    "--set", "table.options.count=150", "--set", "splits.repeats=2", "--set", "training.epochs=1",
    "--set", "baselines=[ridge]",
]  # fmt: skip


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a photo, and more with labels."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    rows = ["image,beauty,gender,split"]
    for i in range(20):
        pixels, labels, _ = synthetic_photo(1, i, 48)
        assert cv2.imwrite(f"photos/{i}.jpg", pixels[..., ::-1])
        rows.append(f"{i}.jpg,{labels['attractiveness']:.2f},{labels['gender']},{'test' if i % 5 == 0 else 'train'}")
    Path("photos/labels.csv").write_text("\n".join(rows))
    for name in ("photo.jpg", "group.jpg"):
        assert cv2.imwrite(name, synthetic_photo(1, 0, 128)[0][..., ::-1])
    return tmp_path


@pytest.fixture
def folder(photos: Path, small_run: Path, exported: dict[str, Artifact]) -> Path:
    """The same with the README's own YAML, a finished run and its exported files."""
    config = next(block.code for block in RUN if block.code.startswith("name: my_faces"))
    Path("my_faces.yaml").write_text(config, encoding="utf-8")
    shutil.copytree(small_run, "runs/quickstart")
    for recipe, artifact in exported.items():
        shutil.copytree(artifact.path.parent, f"runs/quickstart/export/{recipe}", dirs_exist_ok=True)
    return photos


def small(line: str) -> list[str]:
    """The command's arguments, with `fit`, `benchmark` and `demo` made short."""
    line = line.replace("--against resnet50,vgg16", "--against mobilenet_v3_small --seconds 1")
    words = shlex.split(line.replace("PHOTO_FOLDER", "photos").replace("runs/NAME", "runs/quickstart"))[1:]
    if words[0] == "demo":
        # What it would serve, until somebody stops it.
        return [*words, "--build", "site"]
    if words[0] != "fit" or "--resume" in words:
        return words
    return [*words, *(SMALL if "quickstart" in words else []), *(FAST_TABLE if "mtb_dnn" in words else FAST)]


def test_the_readme_has_commands_of_each_kind() -> None:
    assert len(OTHERS) >= 5 and len(NEEDS_DATA) >= 5


@pytest.mark.parametrize(
    "line", [pytest.param(line, marks=[pytest.mark.slow] * (shlex.split(line)[1] in SLOW)) for line in OTHERS]
)
def test_a_command_that_needs_no_download_runs(folder: Path, cli: Cli, line: str) -> None:
    if "csv_file=faces" in line:
        assert cli(*shlex.split(next(other for other in OTHERS if " align " in other))[1:]).code == 0
    done = cli(*small(line))
    # A net of two epochs, judged on twelve photos, need not keep a budget or a tolerance: what is said decides.
    judges = shlex.split(line)[1] in ("export", "benchmark")
    missed = judges and re.search(r"^(limit|gate) not met: ", done.err, re.MULTILINE)
    open_ = judges and re.search(r"^not (measured|proven): ", done.err, re.MULTILINE)
    assert done.code == (1 if missed else 3 if open_ else 0), done.err


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in COMMANDS if "KERAS_BACKEND" in line])
def test_a_command_on_another_backend_runs(folder: Path, line: str) -> None:
    setting, command = line.split(" ", 1)
    name, value = setting.split("=")
    run = [sys.executable, "-m", "keras_faceattr", *shlex.split(command)[1:], *SMALL, *FAST]
    subprocess.run(run, check=True, env={**os.environ, name: value}, timeout=400, capture_output=True)
    assert Path("runs/quickstart-2/report.html").exists()


@pytest.mark.realdata
@pytest.mark.parametrize("line", NEEDS_DATA)
def test_a_command_on_a_public_data_set_runs(folder: Path, cli: Cli, line: str) -> None:
    base = os.environ.get("KERAS_FACEATTR_DATA")
    if not base:
        pytest.skip("KERAS_FACEATTR_DATA is not set: no real photos here")
    words = small(re.sub(r"(\w+)=PATH", lambda found: f"{found[1]}={Path(base) / READERS[found[1]].folder}", line))
    more = [*FAST, "--steps", "5"] if words[0] == "benchmark" else []
    # Looking for the faces of 22,000 photos is another test's business.
    if "all_in_one" in words:
        more = ["--set", "data.crop.method=centre_square", "--set", "data.crop.fallback=null"]
    elif "tree_cnn" in words:
        more = ["--set", "data.sources.0.exclude='*[1-9].png'", "--set", "data.sources.1.exclude='*[1-9].jpg.chip.jpg'"]
    done = cli(*words, *more)
    assert done.code == 0, done.err


@pytest.mark.parametrize("page", PYTHON)
def test_python_of_a_page_runs_as_it_stands_there(page: str, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos").rename("PHOTO_FOLDER")
    names: dict[str, object] = {}
    for number, code in enumerate(PYTHON[page], start=1):
        exec(compile(code, f"{page}, block {number}", "exec"), names)
        assert capsys.readouterr().out or "print(" not in code, "no face was found"
