"""Photos that a source leaves out: by list, by pattern, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data.exclusion import exclusion_hash
from keras_faceattr.data.prepare import read_sources
from keras_faceattr.errors import ConfigError


def images(csv: Path, exclude: str) -> list[str]:
    source = {"reader": "csv_file", "path": str(csv), "exclude": exclude}
    tasks = {"smile": {"kind": "binary"}}
    return list(
        read_sources(parse_experiment({"name": "t", "data": {"sources": [source]}, "tasks": tasks}, "t")).rows["image"]
    )


@pytest.fixture
def csv(tmp_path: Path, tiny_csv: Callable[..., Path]) -> Path:
    return tiny_csv(tmp_path, 6, smile=[0, 1] * 3)


def test_a_list_leaves_out_its_names_and_blank_lines_mean_nothing(csv: Path, tmp_path: Path) -> None:
    listed = tmp_path / "apart.txt"
    listed.write_text("1.png\n\n elsewhere/7.png \n4.png", encoding="utf-8")
    assert images(csv, str(listed)) == ["0.png", "2.png", "3.png", "5.png"]


@pytest.mark.parametrize(
    ("pattern", "left"), [("[0-3].png", ["4.png", "5.png"]), ("*2*", [f"{i}.png" for i in (0, 1, 3, 4, 5)])]
)
def test_a_pattern_leaves_out_what_it_matches(csv: Path, pattern: str, left: list[str]) -> None:
    assert images(csv, pattern) == left


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        ("*.jpeg", r"csv_file: exclude '\*.jpeg': no photo matches; photos are called '0.png'"),
        ("nowhere.txt", "csv_file: exclude 'nowhere.txt': no such file, and no pattern"),
        ("*", r"csv_file: exclude '\*': no photo is left of 6"),
    ],
)
def test_what_excludes_nothing_or_everything_is_refused_in_one_line(csv: Path, exclude: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        images(csv, exclude)
    assert "\n" not in str(error.value)


def test_a_changed_list_is_another_one_and_a_pattern_stands_for_itself(tmp_path: Path) -> None:
    listed = tmp_path / "apart.txt"
    listed.write_text("a", encoding="utf-8")
    before = exclusion_hash(str(listed))
    listed.write_text("b", encoding="utf-8")
    assert exclusion_hash(str(listed)) != before
    assert exclusion_hash("old/*.jpg") == "old/*.jpg"


def test_a_picture_for_a_list_is_refused(csv: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read as a list of names"):
        images(csv, str(tmp_path / "0.png"))
