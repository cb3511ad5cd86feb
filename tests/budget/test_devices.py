"""Classes of devices: the shipped data, how a phone is recognised, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import frameworks_after

from keras_faceattr.budget.devices import (
    DEVICE_FOLDER,
    board_name,
    check_host,
    class_of,
    device_class,
    device_classes,
    host_classes,
    read_device_class,
)
from keras_faceattr.errors import BenchmarkError, ConfigError

GOOD = "name: mine\ntitle: My phone\nkind: android\n"


def test_the_shipped_classes_are_found_by_their_files_names() -> None:
    assert set(device_classes()) >= {"host", "pixel_4", "mid_range_phone", "raspberry_pi_5"}
    assert len(device_classes()) == len(list(DEVICE_FOLDER.glob("*.yaml")))


@pytest.mark.parametrize("name", device_classes())
def test_a_shipped_class_says_what_it_is_and_how_it_is_recognised(name: str) -> None:
    found = device_class(name)
    assert found.name == name
    assert found.title
    assert found.note
    assert bool(found.matches.models or found.matches.socs) == (found.kind == "android")
    assert bool(found.matches.boards) == (found.kind == "host" and name != "host")


def test_no_phone_is_of_two_classes() -> None:
    models = [model.lower() for c in device_classes().values() for model in c.matches.models]
    socs = [soc.lower() for c in device_classes().values() for soc in c.matches.socs]
    assert len(set(models)) == len(models)
    assert not [(a, b) for a in socs for b in socs if a is not b and a.startswith(b)]


def test_an_unknown_class_gets_the_nearest_and_all_of_them() -> None:
    with pytest.raises(
        ConfigError, match="no device class 'pixel4'; did you mean 'pixel_4'\\? valid: .*host.*"
    ) as error:
        device_class("pixel4")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("model", "soc", "expected"),
    [
        ("Pixel 4", "msmnile", "pixel_4"),
        ("pixel 4 xl", "SM8150", "pixel_4"),
        ("Pixel 4a", "SM7150", None),
        ("SM-A536B", "s5e8825", "mid_range_phone"),
        ("M2101K6G", "MT6877V/TTZA", "mid_range_phone"),
        ("SM-S928B", "SM8650", None),
        ("unknown", "unknown", None),
        ("", "", None),
    ],
)
def test_a_device_is_recognised_by_its_whole_model_or_the_beginning_of_its_chip(
    model: str, soc: str, expected: str | None
) -> None:
    assert class_of(model, soc) == expected


def test_the_model_counts_before_the_chip() -> None:
    assert class_of("Pixel 4", "SM6375") == "pixel_4"


@pytest.mark.parametrize(
    ("content", "classes"),
    [
        (b"Raspberry Pi 5 Model B Rev 1.0\0", {"host", "raspberry_pi_5"}),
        (b"raspberry pi 5", {"host", "raspberry_pi_5"}),
        (b"Raspberry Pi 4 Model B Rev 1.5\0", {"host"}),
        (b"Raspberry Pi 500 Rev 1.0\0", {"host"}),
        (b"\xff\xfe no words", {"host"}),
        (b"", {"host"}),
        (None, {"host"}),
    ],
)
def test_a_board_is_recognised_by_the_name_that_the_system_gives_it(
    tmp_path: Path, content: bytes | None, classes: set[str]
) -> None:
    path = tmp_path / "model"
    if content is not None:
        path.write_bytes(content)
    assert host_classes(board_name(path)) == classes


def test_a_computer_is_not_measured_as_a_board_that_it_is_not(tmp_path: Path) -> None:
    check_host("host", "")
    check_host("raspberry_pi_5", "Raspberry Pi 5 Model B Rev 1.0")
    for board, told in (("Raspberry Pi 4", "names its board 'Raspberry Pi 4'"), ("", "no board is named in /proc/")):
        with pytest.raises(
            BenchmarkError, match=r"^--device raspberry_pi_5: this computer is no Raspberry Pi 5"
        ) as error:
            check_host("raspberry_pi_5", board)
        assert told in str(error.value) and "--device host" in str(error.value) and "\n" not in str(error.value)


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    found = read_device_class(write(tmp_path, GOOD + "matches: {models: [X 1]}\n"))
    assert (found.matches.models, found.matches.socs) == (("X 1",), ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("android", "toaster"), "kind: input should be 'host' or 'android'"),
        (GOOD + "threads: 2\n", "threads: extra inputs are not permitted"),
        (GOOD.replace("title: My phone\n", ""), "title: field required"),
        (GOOD.replace("mine", "other"), "name = 'other': must be the file's name, 'mine'"),
        (GOOD + "matches: {models: Pixel}\n", "matches.models: "),
        ("- a list\n", "device class: "),
        ("name: [\n", "cannot be read as YAML"),
        ("", "device class: "),
    ],
)
def test_a_wrong_file_is_refused_with_its_key_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        read_device_class(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_device_class(tmp_path / "none.yaml")


def test_measuring_a_phone_imports_no_framework() -> None:
    assert frameworks_after("import keras_faceattr.budget.devices, keras_faceattr.measure.android.device") == "[]"
