"""The embedded faces: rendered once, the same for a seed, whole or absent."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from keras_faceattr.data.datasets import synthetic
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.errors import ConfigError, RunError
from keras_faceattr.faces.photos import read_photo
from keras_faceattr.tasks import CategoricalTask, MultilabelTask, ScalarTask


def small(count: int = 40, seed: int = 0) -> Manifest:
    return synthetic.read(count=count, size=48, seed=seed)


@pytest.fixture(scope="module")
def faces() -> Manifest:
    """Read only: in the cache of the session."""
    return small()


def test_all_photos_are_there_in_the_size(faces: Manifest) -> None:
    assert len(faces) == 40
    assert not len(faces.quarantine)
    assert {read_photo(path).shape for path in faces.paths()} == {(48, 48, 3)}


def test_seven_tenths_are_train_one_val_and_two_test(faces: Manifest) -> None:
    assert faces.rows["split"].value_counts().to_dict() == {"train": 28, "test": 8, "val": 4}


def test_every_photo_has_every_label_within_its_range(faces: Manifest) -> None:
    assert set(faces.tasks) == {"attractiveness", "age", "gender", "race", "expression", "attributes"}
    for task in faces.tasks.values():
        labels = faces.rows[list(task.columns)]
        assert labels.notna().all(axis=None)
        if isinstance(task, ScalarTask):
            assert labels.ge(task.minimum).all(axis=None)
            assert labels.le(task.maximum).all(axis=None)
            assert faces.rows[f"{task.name}_std"].gt(0).all()
            assert labels[task.name].std() > 2 * task.step
        elif isinstance(task, CategoricalTask):
            assert labels[task.name].isin(task.classes).all()
            assert labels[task.name].nunique() > 1
        elif isinstance(task, MultilabelTask):
            assert len(task.attributes) == 40
            assert labels.isin([0, 1]).all(axis=None)


def test_landmarks_lie_in_the_photo_eyes_above_mouth(faces: Manifest) -> None:
    # Each photo stands for one face; its five points are columns of the label file.
    labels = pd.read_csv(faces.sources["synthetic"].root / "labels.csv")
    points = labels[[f"{part}_{axis}" for part in synthetic.LANDMARKS for axis in "xy"]]
    assert points.ge(0).all(axis=None)
    assert points.lt(48).all(axis=None)
    assert (labels["left_eye_x"] < labels["right_eye_x"]).mean() > 0.9
    assert (labels["left_eye_y"] < labels["left_mouth_y"]).mean() > 0.9


def test_the_same_seed_draws_the_same_files_and_another_others(faces: Manifest, own_cache: Path) -> None:
    again, other = small(count=10), small(count=10, seed=1)
    first = [path.read_bytes() for path in faces.paths()[:10]]
    assert [path.read_bytes() for path in again.paths()] == first
    assert again.rows["age"].tolist() == faces.rows["age"].tolist()[:10]
    assert not {path.read_bytes() for path in other.paths()} & set(first)


def test_a_second_reading_renders_nothing(faces: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("rendered again")

    monkeypatch.setattr(synthetic, "_render_one", forbidden)
    before = [path.stat().st_mtime_ns for path in faces.paths()]
    again = small()
    assert [path.stat().st_mtime_ns for path in again.paths()] == before
    assert again.label_hash() == faces.label_hash()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_rendering_leaves_nothing_and_is_made_up_for(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    draw = synthetic._render_one

    def interrupted(folder: Path, size: int, seed: int, photos_per_person: int, index: int):
        if index == 5:
            raise interruption
        return draw(folder, size, seed, photos_per_person, index)

    monkeypatch.setattr(synthetic, "_render_one", interrupted)
    with pytest.raises(interruption):
        small(count=10)
    assert list((own_cache / "synthetic").iterdir()) == []
    monkeypatch.setattr(synthetic, "_render_one", draw)
    assert len(small(count=10)) == 10


def test_a_half_folder_of_a_killed_rendering_is_not_taken_for_whole(own_cache: Path) -> None:
    half = own_cache / "synthetic" / ".writing-killed"
    half.mkdir(parents=True)
    (half / "000000.jpg").touch()
    manifest = small(count=10)
    assert len(manifest) == 10
    assert manifest.sources["synthetic"].root != half


def test_a_full_disk_is_said_with_the_mend(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic.cv2, "imwrite", lambda *_: False)
    with pytest.raises(
        RunError, match=r"cannot write .*: no space left on device; free space, or set KERAS_FACEATTR_CACHE"
    ):
        small(count=10)
    assert list((own_cache / "synthetic").iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 9},
        {"count": 10**13},
        {"size": 31},
        {"size": 1025},
        {"seed": -1},
        {"seed": 2**31},
        {"photos_per_person": 0},
    ],
)
def test_counts_and_sizes_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"synthetic: {next(iter(wrong))} = .* must be from"):
        synthetic.read(**wrong)


def test_several_photos_of_a_person_are_in_one_split_and_show_the_same_face(own_cache: Path) -> None:
    rows = synthetic.read(count=40, size=40, seed=5, photos_per_person=4).rows
    people = rows.groupby("identity")
    assert people.ngroups == 10
    assert (people["split"].nunique() == 1).all()
    for column in ("gender", "race", "age", "attributes.Eyeglasses"):
        assert (people[column].nunique() == 1).all()
    assert (people["expression"].nunique() > 1).any()
    # The first photo of each is the one that the person has in a collection of single photos.
    alone = synthetic.read(count=10, size=40, seed=5).rows
    assert list(rows.iloc[::4]["age"]) == list(alone["age"])
