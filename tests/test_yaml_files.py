"""YAML of any kind is read in time and memory that its size bounds, or refused in one line."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from keras_faceattr import yaml_files
from keras_faceattr.yaml_files import MOST_BYTES, parse_yaml, read_yaml

LAYERS = 30


def anchor_bomb() -> str:
    """Each of 30 lists holds the one before nine times: 9³⁰ entries."""
    lists = ["a0: &a0 [x, x]"]
    lists += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, LAYERS)]
    return "\n".join(lists)


def merge_bomb() -> str:
    """Each of 30 mappings merges the one before nine times."""
    maps = ["a0: &a0 {x: 1}"]
    maps += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, LAYERS)]
    return "\n".join(maps)


def chain() -> str:
    """Each of 100 lists holds the one before once: 100 levels deep, and none of its lines is."""
    return "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 100))])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (anchor_bomb(), "more than 50,000 values, those that aliases repeat counted each time"),
        (merge_bomb(), "more than 50,000 values, those that aliases repeat counted each time"),
        (chain(), "more than 40 levels deep"),
        ("a: &a [1, *a]", "holds itself by an alias"),
        ("a: &a {b: {<<: *a}}", "holds itself by an alias"),
        ("[" * 500_000, "line 1 is nested more than 40 levels deep"),
        ("a: " + "{b: " * 41 + "1" + "}" * 41, "line 1 is nested more than 40 levels deep"),
        ("seed: 1\nb: " + "9" * 5000, "the number in line 2 has 5,000 digits"),
        ("seed: 0x" + "f" * 5000, "the number in line 1 has 5,002 digits"),
        ("seed: 1" + ":00" * 5000, "the number in line 1 has 15,001 digits"),
        ("x" * (MOST_BYTES + 1), "larger than 1,000,000 bytes"),
        ("a: 1\na: 2", "the key 'a' stands a second time in line 2"),
        ("a: [1", "expected ',' or ']'"),
        ("a: 0001-99-99", "month must be in 1..12"),
        ("? [a]\n: 1", "unhashable"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
    ],
)  # fmt: skip
def test_a_yaml_that_no_config_can_be_is_refused_at_once_in_one_line(text: str, reason: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ValueError, match=re.escape(reason)) as error:
        parse_yaml(text)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    assert time.perf_counter() - began < 20


def test_a_list_without_aliases_is_no_longer_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_files, "MOST_VALUES", 1000)
    assert parse_yaml("[" + "1," * 999 + "]") == [1] * 999
    with pytest.raises(ValueError, match="more than 1,000 values"):
        parse_yaml("[" + "1," * 1000 + "]")


def test_aliases_and_merges_of_people_are_read() -> None:
    assert parse_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]") == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": [{"x": 1, "y": 2}] * 2,
    }
    deep = "a: " + "{b: " * 38 + "1" + "}" * 38
    assert str(parse_yaml(deep)).count("b") == 38
    assert parse_yaml("") is None and parse_yaml("1e-4") == "1e-4"


def test_a_file_is_read_no_further_than_a_config_may_be_long(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with path.open("wb") as stream:
        stream.truncate(10**11)
    with pytest.raises(ValueError, match="larger than 1,000,000 bytes"):
        read_yaml(path)
    path.write_bytes(b"\xef\xbb\xbfname: gr\xc3\xb6\xc3\x9fe\n")
    assert read_yaml(path) == {"name": "größe"}


def test_every_yaml_is_read_by_the_one_reader() -> None:
    package = Path(yaml_files.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(f"yaml.{name}" in path.read_text(encoding="utf-8") for name in ("safe_load", "load(", "SafeLoader"))
    }
    assert found == {"yaml_files.py"}
