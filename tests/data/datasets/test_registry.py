"""Readers by name: every row of the table can be imported, and mistakes are answered in one line."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from keras_faceattr.data.datasets import READERS, read_dataset
from keras_faceattr.errors import ConfigError, DataError, FaceAttrError
from keras_faceattr.tasks import BinaryTask

SMILE = BinaryTask("smile")


@pytest.mark.parametrize("name", READERS)
def test_every_reader_has_what_its_row_says(name: str) -> None:
    module = importlib.import_module(f"keras_faceattr.data.datasets.{name}")
    parameters = inspect.signature(module.read).parameters
    assert READERS[name].title
    assert (next(iter(parameters)) == "root") == READERS[name].needs_path
    assert ("tasks" in parameters) == READERS[name].needs_tasks
    assert isinstance(module.CITATION, str)
    assert module.LICENCE


@pytest.mark.parametrize("name", [name for name, entry in READERS.items() if entry.needs_path])
def test_every_reader_refuses_an_empty_folder_in_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(FaceAttrError) as error:
        read_dataset(name, tmp_path, {}, [SMILE])
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [name for name, entry in READERS.items() if entry.needs_path])
def test_every_reader_asks_for_its_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"give --data {name}=PATH"):
        read_dataset(name, None, {})
    with pytest.raises(DataError, match=f"{name}: no such folder or file: {tmp_path}/none"):
        read_dataset(name, tmp_path / "none", {})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("utkfaces", {}, "unknown reader 'utkfaces'; did you mean 'utkface'"),
        ("csv_file", {"image_colum": "x"}, "csv_file: unknown option 'image_colum'; did you mean 'image_column'"),
        ("synthetic", {"cuont": 10}, "synthetic: unknown option 'cuont'; did you mean 'count'"),
        ("morph", {"label_file": 5}, "morph: option label_file = 5 is not str | None"),
        ("csv_file", {"image_column": None}, "csv_file: option image_column = None is not str"),
        ("imdb_wiki", {"min_face_score": True}, "imdb_wiki: option min_face_score = True is not float"),
        ("synthetic", {"count": True}, "synthetic: option count = True is not int"),
        ("synthetic", {"size": "big"}, "synthetic: option size = 'big' is not int"),
    ],
)
def test_an_unknown_reader_or_option_names_the_nearest(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        read_dataset(name, tmp_path, options)
    assert "root" not in str(error.value).partition("valid:")[2].split(", ")


def test_root_is_no_option(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown option 'root'"):
        read_dataset("csv_file", tmp_path, {"root": "x"})


def test_options_and_tasks_reach_the_reader(tmp_path: Path, tiny_csv) -> None:
    path = tiny_csv(tmp_path, 2, smile=[0, 1])
    path.write_text(path.read_text().replace("image", "file", 1))
    manifest = read_dataset("csv_file", path, {"image_column": "file"}, [SMILE])
    assert manifest.tasks == {"smile": SMILE}
    assert manifest.rows["smile"].tolist() == [0.0, 1.0]


def test_a_whole_number_is_a_number_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="imdb_wiki: neither"):
        read_dataset("imdb_wiki", tmp_path, {"min_face_score": 2})
