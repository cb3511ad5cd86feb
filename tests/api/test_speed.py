"""`benchmark api`: its numbers mean what they say. What they are is for the machine to tell, and no test asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from small import CommandLine

from keras_faceattr.api import speed
from keras_faceattr.api.by_hand import by_hand
from keras_faceattr.api.speed import AIMS, growth_of
from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.errors import BenchmarkError
from keras_faceattr.net import load

RESULT: dict[str, Any] = {
    "net": "faces.tflite",
    "seconds": {"import": 0.02},
    "numbers": {
        "import_s": 0.02,
        "first_ratio": 1.2,
        "predict_ratio": 1.05,
        "many_ratio": 0.94,
        "growth_mb": 3.0,
    },
    "memory": {"warm_mb": 200.0, "end_mb": 201.0, "photos": 100},
    "photos": 2,
    "rounds": 1,
    "machine": "a machine, 2 cores",
}


def test_memory_that_settles_does_not_grow_and_a_leak_is_extrapolated() -> None:
    # The first quarter is the time in which buffers find their size.
    settling = [100.0, 150.0, 200.0, 220.0, *[230.0] * 12]
    assert growth_of(settling, 4000) == pytest.approx((230.0, 230.0, 0.0), abs=1e-6)
    # 0.5 MB in 1000 photos are 50 in 100,000, whatever came before.
    warm = np.linspace(230, 231.5, 75)
    leaking = [*np.linspace(100, 230, 25), *warm]
    assert growth_of(leaking, 4000) == pytest.approx((230.0, 231.5, 50.0))


def test_an_aim_is_met_from_its_own_side() -> None:
    met = {name: aim.met(RESULT["numbers"][name]) for name, aim in AIMS.items()}
    assert met == {
        "import_s": True,
        "first_ratio": False,
        "predict_ratio": True,
        "many_ratio": False,
        "growth_mb": True,
    }


@pytest.fixture
def command(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """`keras-faceattr benchmark api` without the measurement."""
    from keras_faceattr.cli import benchmark_api

    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(benchmark_api, "measure_api", lambda *args: (asked.append(args), RESULT)[1])
    return lambda *words: (command_line("benchmark", "api", *words), asked)  # type: ignore[return-value]


def test_the_command_says_which_aims_are_met(command: Any, tmp_path: Path) -> None:
    (code, out, _), asked = command("faces", "--photos", "8", "--out", tmp_path)
    assert code == 0
    assert asked == [("faces", 5, 8, 4000)]
    rows = [line.split() for line in out.splitlines() if line.rstrip().endswith(" met")]
    assert [row[-2] == "not" for row in rows] == [False, True, False, True, False]
    assert "200 MB when warm, 201 MB after 100 photos" in out
    assert json.loads((tmp_path / "api.json").read_text(encoding="utf-8")) == RESULT


def test_a_run_is_no_file_that_could_be_called_by_hand(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"only a \.tflite file is called by hand; export the run first"):
        speed.measure_api(str(tmp_path), 1, 2, 100)


@pytest.mark.slow
def test_every_part_is_measured_and_the_work_by_hand_gives_what_the_api_gives(tmp_path: Path) -> None:
    result = speed.measure_api("faces", 1, 4, 100)
    assert set(result["numbers"]) == set(AIMS)
    assert all(seconds > 0 for seconds in result["seconds"].values()) and len(result["seconds"]) == 7
    path, photo = Path(result["net"]), tmp_path / "0.jpg"
    assert cv2.imwrite(str(photo), draw_scene(speed.SCENE_SEED, 0, 480, 640, 1)[0][..., ::-1])
    (face,), (outputs,) = load(path).predict(photo), by_hand(path)(photo)
    said = np.concatenate([np.ravel(output) for output in outputs])
    assert np.isclose(said, face["age"].value, atol=1e-4).any()
    assert np.isclose(said, face["smiling"].probability, atol=1e-4).any()
