"""Several data sets in one experiment: each is split as it would be alone, and no photo is on both sides."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_faceattr.config import Experiment, TaskConfig
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.data.prepare import prepare, read_manifest, read_sources
from keras_faceattr.errors import DataError

COUNT = 40
DRAWN = {"reader": "synthetic", "options": {"count": COUNT, "size": 32, "seed": 5}}
BEAUTY = {"kind": "scalar", "minimum": 0, "maximum": 100, "step": 1}
STRATIFIED = {"method": "stratified", "test": 0.25, "validation": 0.2, "seed": 3}
SPLITS = ("train", "val", "test")


@pytest.fixture
def own(tmp_path: Path, tiny_csv) -> dict[str, Any]:
    """A csv of 40 photos with a beauty, without a split."""
    beauty = np.random.default_rng(1).permutation(COUNT)
    return {"reader": "csv_file", "path": str(tiny_csv(tmp_path / "own", COUNT, beauty=beauty))}


def experiment(sources: list[dict[str, Any]], *tasks: str, **data: Any) -> Experiment:
    definitions = {"beauty": BEAUTY, "gender": {}, "age": {}}
    section = {"sources": sources, "crop": {"size": 16}, "max_bad_share": 0.5, **data}
    return parse_experiment({"name": "mine", "data": section, "tasks": {n: definitions[n] for n in tasks}}, "test")


def photos(manifest: Manifest, source: str) -> dict[str, set[str]]:
    """Names of a source's photos by split."""
    rows = manifest.rows[manifest.rows["source"] == source]
    return {split: set(rows["image"][rows["split"] == split]) for split in SPLITS}


def test_each_source_is_split_by_its_own_plan(own: dict[str, Any]) -> None:
    plan = {"method": "kfold", "fold": 2, "folds": 4, "validation": 0}
    manifest, _ = read_manifest(experiment([{**own, "split": plan}, DRAWN], "beauty", "gender"))
    sizes = {name: [len(part) for part in photos(manifest, name).values()] for name in manifest.sources}
    # A fold of four of 40; drawn faces are 70, 10 and 20 % as the reader gives them.
    assert sizes == {"csv_file": [30, 0, 10], "synthetic": [28, 4, 8]}


def test_names_of_a_group_that_another_sets_task_does_not_know_are_refused(tmp_path: Path, tiny_csv) -> None:
    columns = {"beauty": range(8), "gender": ["F", "M"] * 4, "split": ["train", "test"] * 4}
    csv = {"reader": "csv_file", "path": str(tiny_csv(tmp_path / "own", 8, **columns))}
    with pytest.raises(DataError, match="csv_file: gender F, M is none of female, male: rename it by data.sources.N"):
        read_manifest(experiment([csv, DRAWN], "beauty", "gender"))
    # Where it is a group alone, its names are its own.
    read_manifest(experiment([csv, DRAWN], "beauty", "age"))
    renamed = {**csv, "labels": {"gender": {"F": "female", "M": None}}}
    manifest, _ = read_manifest(experiment([renamed, DRAWN], "beauty", "gender"))
    own = manifest.rows[manifest.rows["source"] == "csv_file"]
    assert set(own["gender"].dropna()) == {"female"} and len(own) == 8


def test_a_source_without_a_plan_follows_the_datas(own: dict[str, Any]) -> None:
    plan = {"method": "given"}
    manifest, _ = read_manifest(
        experiment([own, {**DRAWN, "split": plan}], "beauty", "gender", split={"method": "stratified", "test": 0.5})
    )
    assert len(photos(manifest, "csv_file")["test"]) == COUNT // 2
    assert photos(manifest, "synthetic")["test"] == {f"{i:06d}.jpg" for i in range(COUNT) if i % 10 > 7}


@pytest.mark.parametrize(("method", "only"), [("given", "train"), ("given", "test"), ("train", "train")])
def test_a_source_may_be_for_training_or_for_tests_alone(tmp_path: Path, tiny_csv, method: str, only: str) -> None:
    columns = {"age": range(8), **({"split": [only] * 8} if method == "given" else {})}
    path = str(tiny_csv(tmp_path / "own", 8, **columns))
    # Of `train` no photo validates, whatever the share.
    csv = {"reader": "csv_file", "path": path, "split": {"method": method, "validation": 0.5 * (method == "train")}}
    age = {"kind": "scalar", "minimum": 0, "maximum": 100, "step": 1, "unit": "years", "default_std": 2}
    alone, both = (
        experiment(sources, "age").model_copy(update={"tasks": {"age": TaskConfig(**age, tolerances=[5, 10])}})
        for sources in ([csv], [csv, DRAWN])
    )
    manifest, _ = read_manifest(both)
    assert {split: len(found) for split, found in photos(manifest, "csv_file").items()} == {
        split: 8 * (split == only) for split in SPLITS
    }
    with pytest.raises(DataError, match=f"split {method} leaves no {'test' if only == 'train' else 'train'} rows"):
        read_manifest(alone)


@pytest.mark.parametrize("own_first", [True, False])
@pytest.mark.parametrize("tasks", [("gender", "beauty"), ("beauty", "age", "gender")])
def test_a_sources_split_is_the_one_that_it_has_alone(own: dict[str, Any], own_first: bool, tasks: tuple) -> None:
    mine, drawn = {**own, "split": STRATIFIED}, {**DRAWN, "split": {**STRATIFIED, "seed": 8}}
    both, _ = read_manifest(experiment([mine, drawn] if own_first else [drawn, mine], *tasks))
    assert list(both.sources) == (["csv_file", "synthetic"] if own_first else ["synthetic", "csv_file"])
    for name, source, alone in (
        ("csv_file", mine, ["beauty"]),
        ("synthetic", drawn, [t for t in tasks if t[0] != "b"]),
    ):
        single, _ = read_manifest(experiment([source], *alone))
        assert photos(both, name) == photos(single, name)
        assert all(photos(both, name).values())


def test_copies_of_a_photo_in_two_sources_are_never_on_both_sides(tmp_path: Path, tiny_csv) -> None:
    # Drawn faces 0 to 6 of each ten are train, 7 is val, 8 and 9 are test.
    drawn = read_sources(experiment([DRAWN], "gender"))
    copied = {0: 0, 1: 7, 2: 8, 3: 1, 4: 7 + 10, 5: 2, 6: 18}
    split = ["train"] * 3 + ["val"] * 2 + ["test"] * 2 + ["train"] * 3
    path = tiny_csv(tmp_path, len(split), beauty=range(len(split)), split=split)
    for mine, theirs in copied.items():
        shutil.copy(drawn.paths()[theirs], tmp_path / f"{mine}.png")
    own = {"reader": "csv_file", "path": str(path)}
    for sources in ([own, DRAWN], [DRAWN, own]):
        manifest, _ = read_manifest(experiment(sources, "beauty", "gender"))
        # The one further along train, val, test stays; copies on one side both stay.
        aside = manifest.quarantine.set_index(["source", "image"])["reason"].to_dict()
        assert aside == {
            ("csv_file", "1.png"): "exact duplicate of a val photo",
            ("csv_file", "2.png"): "exact duplicate of a test photo",
            ("synthetic", "000001.jpg"): "exact duplicate of a val photo",
            ("synthetic", "000002.jpg"): "exact duplicate of a test photo",
        }
        assert len(manifest) == len(split) + COUNT - len(aside)
        split_of: dict[bytes, set[str]] = {}
        for photo, part in zip(manifest.paths(), manifest.rows["split"], strict=True):
            split_of.setdefault(photo.read_bytes(), set()).add(part)
        assert all(len(parts) == 1 for parts in split_of.values())


def test_what_a_source_puts_aside_itself_is_kept_once(tmp_path: Path, tiny_csv) -> None:
    split = ["train"] * 4 + ["test"] * 2
    path = tiny_csv(tmp_path, 6, beauty=[1, 2, 3, 400, 5, 6], split=split)
    # A train photo of the source is a copy of its own test photo, another has a beauty out of range.
    shutil.copy(tmp_path / "5.png", tmp_path / "0.png")
    sources = [{"reader": "csv_file", "path": str(path)}, DRAWN]
    manifest, _ = read_manifest(experiment(sources, "beauty", "gender", split={"validation": 0}))
    assert manifest.quarantine["image"].tolist() == ["3.png", "0.png"]
    assert photos(manifest, "csv_file") == {"train": {"1.png", "2.png"}, "val": set(), "test": {"4.png", "5.png"}}


def test_an_error_names_the_source_that_cannot_be_split(own: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"^csv_file: the data gives no split: set data\.split\.method") as error:
        read_manifest(experiment([DRAWN, own], "beauty", "gender"))
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="^the data gives no split"):
        read_manifest(experiment([own], "beauty"))


def test_a_source_without_any_label_of_the_tasks_is_named(own: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="^csv_file: no photo is labelled with gender, age: leave the source out"):
        read_manifest(experiment([{**own, "split": STRATIFIED}, DRAWN], "gender", "age"))


def test_photos_are_not_labelled_with_what_their_source_lacks(own: dict[str, Any]) -> None:
    sources = [{**own, "split": STRATIFIED}, DRAWN]
    data = prepare(experiment(sources, "beauty", "gender"), SPLITS)
    for part in data.parts.values():
        mine = part.sources == 0
        np.testing.assert_array_equal(np.isnan(part.labels["beauty"][:, 0]), ~mine)
        np.testing.assert_array_equal(np.isnan(part.labels["gender"][:, 0]), mine)


def test_crops_tell_their_source_in_the_configs_order(own: dict[str, Any]) -> None:
    mine = {**own, "split": {**STRATIFIED, "validation": 0}}
    for sources in ([mine, DRAWN], [DRAWN, mine]):
        data = prepare(experiment(sources, "beauty", "gender"), SPLITS)
        names = [source["reader"] for source in sources]
        for split, part in data.parts.items():
            assert part.sources is not None and part.sources.shape == (len(part),)
            rows = data.manifest.rows.iloc[part.rows]
            assert [names[number] for number in part.sources] == rows["source"].tolist()
            assert (rows["split"] == split).all()
        # The val photos are all drawn, and keep their source's number.
        assert set(data.parts["val"].sources) == {names.index("synthetic")}
        assert {len(set(data.parts[split].sources)) for split in ("train", "test")} == {2}
