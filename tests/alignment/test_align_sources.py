"""What an alignment of several sources keeps apart: people, splits, weights, licences; and names that lead astray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from aligning import here, manifest_of, written

from keras_faceattr.alignment.job import Alignment
from keras_faceattr.alignment.work import Work
from keras_faceattr.api.named import read_named
from keras_faceattr.config import DataConfig
from keras_faceattr.config_files import load_experiment, parse_experiment
from keras_faceattr.data.datasets import read_dataset
from keras_faceattr.data.manifest import Manifest, Source, build_manifest, concatenate
from keras_faceattr.data.prepare import prepare, read_manifest, read_sources
from keras_faceattr.errors import ConfigError, DataError
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.tasks import CategoricalTask, ScalarTask

SQUARES = Work(CropSpec(16, "centre_square"), "largest", "png")
AGE = ScalarTask("age", 0, 100, 1, "years")
COUNT = 20


def aligned(folder: Path, manifest: Manifest, data: DataConfig | None = None, work: Work = SQUARES) -> Path:
    alignment = Alignment(folder, manifest, work, data=data)
    alignment.run(here, lambda done: None)
    alignment.finish(0.5)
    return folder


def collection(root: Path, grey: int, **columns: Any) -> Path:
    """A csv of photos of 24 pixels, each with bytes of its own."""
    for i in range(COUNT):
        written(root / f"{i:02d}.png", np.full((24, 24, 3), (grey, i, 0), np.uint8))
    table = pd.DataFrame({"image": [f"{i:02d}.png" for i in range(COUNT)], **columns})
    table.to_csv(root / "labels.csv", index=False)
    return root / "labels.csv"


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """Two sources with people of the same names, one split as the data says and one drawn."""
    people = [str(i // 2) for i in range(COUNT)]
    given = ["train"] * 12 + ["val"] * 2 + ["test"] * 6
    one = collection(tmp_path / "one", 40, age=range(COUNT), mood="", identity=people, split=given)
    two = collection(tmp_path / "two", 90, age="", mood=["sad", "glad"] * 10, identity=people)
    drawn = {"method": "kfold", "fold": 2, "folds": 4, "validation": 0.2, "seed": 5, "plan": 2}
    return {
        "name": "both",
        "data": {
            "sources": [
                {"reader": "csv_file", "path": str(one), "name": "one", "weight": 0.3},
                {"reader": "csv_file", "path": str(two), "name": "two", "weight": 0.7, "split": drawn},
            ],
            "split": {"method": "given", "plan": 1},
            "crop": {"size": 16},
        },
        "tasks": {
            "age": {"kind": "scalar", "minimum": 0, "maximum": 100, "step": 1},
            "mood": {"kind": "categorical", "classes": ["sad", "glad"]},
        },
    }


def splits_of(manifest: Manifest, column: str) -> dict[tuple[str, str], str]:
    names = manifest.rows[column].str.removesuffix(".png").str.rpartition("/")[2]
    return dict(zip(zip(manifest.rows["source"], names, strict=True), manifest.rows["split"], strict=True))


def test_a_config_of_several_sources_trains_on_their_crops_with_the_same_splits_and_weights(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    whole = parse_experiment(config, "test")
    folder = aligned(tmp_path / "out", read_sources(whole), whole.data)
    crops = load_experiment(str(folder / "fit.yaml"))
    assert [(s.name, s.weight) for s in crops.data.sources] == [("one", 0.3), ("two", 0.7)]
    assert crops.data.split == whole.data.split
    assert [source.split for source in crops.data.sources] == [source.split for source in whole.data.sources]
    before, after = read_manifest(whole)[0], read_manifest(crops)[0]
    assert splits_of(before, "image") == splits_of(after, "image")
    assert set(after.rows["split"]) == {"train", "val", "test"}
    data = prepare(crops, ("train", "val", "test"))
    assert sum(map(len, data.parts.values())) == 2 * COUNT


def test_people_of_the_same_name_in_two_sources_stay_two(tmp_path: Path, config: dict[str, Any]) -> None:
    whole = parse_experiment(config, "test")
    folder = aligned(tmp_path / "out", read_sources(whole), whole.data)
    # Also where all crops are read as one set.
    back = read_dataset("csv_file", folder, {}, [])
    assert back.rows["identity"].nunique() == COUNT
    assert set(back.rows["identity"][:2]) == {"one/0"}


def test_faces_of_photos_of_one_name_in_two_sources_are_two_people(tmp_path: Path) -> None:
    manifests = []
    for name in ("one", "two"):
        written(tmp_path / name / "a.png", np.zeros((16, 16, 3), np.uint8))
        manifests.append(manifest_of(tmp_path / name, name))
    folder = aligned(tmp_path / "out", concatenate(manifests), work=Work(SQUARES.spec, "all", "png"))
    assert read_dataset("csv_file", folder, {}, []).rows["identity"].tolist() == ["one/a.png", "two/a.png"]


def test_a_source_of_a_folder_of_crops_has_its_own_licence_and_tasks(tmp_path: Path) -> None:
    tasks = {"one": AGE, "two": CategoricalTask("mood", ("sad", "glad"))}
    manifests = []
    for name, label in (("one", {"age": [3]}), ("two", {"mood": ["sad"]})):
        written(tmp_path / name / "a.png", np.zeros((16, 16, 3), np.uint8))
        source = Source(name, tmp_path / name, f"{name}, 2020", f"licence of {name}")
        manifests.append(build_manifest(source, pd.DataFrame({"image": ["a.png"], **label}), [tasks[name]]))
    folder = aligned(tmp_path / "out", concatenate(manifests))
    for name, task in tasks.items():
        back = read_dataset("csv_file", folder, {"source": name}, [])
        (source,) = back.sources.values()
        assert (source.name, source.citation, source.licence) == (name, f"{name}, 2020", f"licence of {name}")
        assert source.crop == SQUARES.spec and back.tasks == {task.name: task}
    with pytest.raises(DataError, match="no row of source 'tow'; did you mean 'two'"):
        read_dataset("csv_file", folder, {"source": "tow"}, [])


def test_contradicting_rows_are_put_aside_before_the_crops_are_trained_on(tmp_path: Path) -> None:
    path = collection(tmp_path / "own", 40, age=range(COUNT))
    with path.open("a") as stream:
        stream.write("03.png,77\n")
    named = read_named(str(path), {}, [])
    folder = tmp_path / "out"
    alignment = Alignment(folder, named.manifest, SQUARES, named.table)
    alignment.run(here, lambda done: None)
    alignment.finish(0.5)
    crops = read_dataset("csv_file", folder, {}, [AGE])
    assert len(crops) == COUNT - 1 and "crops/03.png" not in set(crops.rows["image"])
    reasons = pd.read_csv(folder / "quarantine.csv")
    assert reasons[["image", "row"]].to_numpy().tolist() == [["03.png", 5], ["03.png", COUNT + 2]]
    assert set(reasons["reason"]) == {"two rows give this photo different labels"}


def test_a_photo_with_a_backslash_in_its_name_reads_back(tmp_path: Path) -> None:
    for name in (r"a\b.png", "c,d.png", 'e"f.png', "g\rh.png"):
        written(tmp_path / "photos" / name, np.zeros((16, 16, 3), np.uint8))
    folder = aligned(tmp_path / "out", read_named(str(tmp_path / "photos"), {}, [], plain_folder=True).manifest)
    back = read_dataset("csv_file", folder, {}, [])
    assert back.rows["image"].tolist() == [r"crops/a\b.png", "crops/c,d.png", 'crops/e"f.png']
    assert not len(back.quarantine)
    assert (folder / "quarantine.csv").read_text().splitlines()[1].startswith(r"photos,g\rh.png,-1,the file name holds")


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".", "", "a\\b", "/etc", "a=b", ".hidden", "x" * 101, "a\nb"])
def test_a_source_whose_name_leads_elsewhere_is_refused(tmp_path: Path, config: dict[str, Any], name: str) -> None:
    config["data"]["sources"][0]["name"] = name
    with pytest.raises(ConfigError, match=r"data\.sources\.0\.name"):
        parse_experiment(config, "test")
    if name in ("../x", "a/b", "..", ".", "", "a\\b", "/etc"):
        manifests = [
            manifest_of(Path(config["data"]["sources"][i]["path"]).parent, n) for i, n in ((0, name), (1, "two"))
        ]
        with pytest.raises(DataError, match="its crops get a folder of its name"):
            Alignment(tmp_path / "out", concatenate(manifests), SQUARES)
        assert not (tmp_path / "out").exists()
