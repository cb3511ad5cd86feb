"""Splits: one person and one photo on one side, labels in proportion, official splits and folds as they are."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from keras_faceattr.data.drawing import balanced_parts
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.data.splits import linked_groups, photo_hashes, split_manifest, without_straddling
from keras_faceattr.errors import DataError, ResourceError
from keras_faceattr.tasks import CategoricalTask, ScalarTask, Task

AGE = ScalarTask("age", 0.0, 100.0, 1.0, "years")


def build(folder: Path, count: int, contents: list[int] | None = None, tasks: list[Task] | None = None, **columns: Any):
    """A manifest of `count` files; files with equal `contents` are copies."""
    for i in range(count):
        (folder / f"{i}.png").write_bytes(f"content {contents[i] if contents else i}".encode())
    frame = pd.DataFrame({"image": [f"{i}.png" for i in range(count)], **columns})
    return build_manifest(Source("mine", folder), frame, tasks or [AGE])


def parts(manifest: Manifest) -> dict[str, set[str]]:
    return {name: set(rows["image"]) for name, rows in manifest.rows.groupby("split")}


def test_linked_groups_are_transitive_over_identities_and_duplicates() -> None:
    # 0–1 by person, 1–2 by bytes, 2–3 by person; 4 alone; 5 has no identity and an unreadable file, as has 6.
    identities = pd.Series(["a", "a", "b", "b", "c", None, None])
    hashes = np.array(["h0", "h1", "h1", "h3", "h4", "", ""], dtype=object)
    groups = linked_groups(identities, hashes)
    assert len({groups[i] for i in (0, 1, 2, 3)}) == 1
    assert len(set(groups)) == 4


def test_photo_hashes_are_equal_for_copies_and_empty_for_unreadable(tmp_path: Path) -> None:
    manifest = build(tmp_path, 4, [1, 2, 1, 3], age=[1, 2, 3, 4])
    (tmp_path / "3.png").unlink()
    hashes = photo_hashes(manifest)
    assert hashes[0] == hashes[2] != hashes[1]
    assert hashes[3] == ""


def test_a_lack_of_open_files_is_no_missing_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Photos without a hash are no copies of each other: the check for copies would be lost.
    def short_of_files(path: Path) -> bytes:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    manifest = build(tmp_path, 2, age=[1, 2])
    monkeypatch.setattr(Path, "read_bytes", short_of_files)
    with pytest.raises(ResourceError, match="Too many open files"):
        photo_hashes(manifest)


@pytest.mark.parametrize("method", ["stratified", "kfold"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_person_and_no_copy_is_on_two_sides(tmp_path: Path, method: str, seed: int) -> None:
    rng = np.random.default_rng(7)
    contents = np.where(rng.random(120) < 0.3, rng.integers(0, 30, 120), np.arange(1000, 1120)).tolist()
    people = [f"p{i}" for i in rng.integers(0, 60, 120)]
    manifest = build(tmp_path, 120, contents, age=rng.integers(0, 100, 120), identity=people)
    split = split_manifest(manifest, method, stratify="age", test=0.3, validation=0.2, seed=seed).rows
    assert set(split["split"]) == {"train", "val", "test"}
    assert (split.groupby("identity")["split"].nunique() == 1).all()
    assert (split.groupby(np.array(contents))["split"].nunique() == 1).all()


def test_a_copy_joins_two_people(tmp_path: Path) -> None:
    # Person a: 0, 1; person b: 2, 3; 1 and 2 are copies, so that all four stay together.
    manifest = build(tmp_path, 8, [0, 1, 1, 3, 4, 5, 6, 7], age=range(8), identity=list("aabbcdef"))
    for seed in range(10):
        split = split_manifest(manifest, "stratified", stratify="age", test=0.5, validation=0.0, seed=seed).rows[
            "split"
        ]
        assert split.iloc[:4].nunique() == 1


def test_each_tenth_of_a_scalar_label_keeps_its_proportion(tmp_path: Path) -> None:
    ages = np.random.default_rng(3).permutation(np.arange(400) / 4)
    rows = split_manifest(build(tmp_path, 400, age=ages), "stratified", stratify="age", test=0.25, validation=0.2).rows
    shares = (rows["split"] == "test").groupby((rows["age"] // 10).astype(int)).mean()
    # 40 photos in each tenth, of which 10 are expected; the order within a stratum moves the cut by one or two.
    assert len(shares) == 10
    assert ((shares - 0.25).abs() <= 2 / 40).all()
    assert (rows["split"] == "test").sum() == 100
    # 20 % of the 300 that are left.
    assert (rows["split"] == "val").sum() == 60


def test_a_rare_class_keeps_its_proportion(tmp_path: Path) -> None:
    mood = CategoricalTask("mood", ("calm", "glad"))
    manifest = build(tmp_path, 200, tasks=[mood], mood=["glad" if i % 10 == 0 else "calm" for i in range(200)])
    for seed in range(5):
        rows = split_manifest(manifest, "stratified", stratify="mood", test=0.5, validation=0.0, seed=seed).rows
        test = rows[rows["split"] == "test"]
        # 20 glad of 200: half of them in a half of the rows.
        assert abs((test["mood"] == "glad").sum() - 10) <= 1
        assert len(test) == 100


def test_every_row_is_test_in_exactly_one_drawn_fold(tmp_path: Path) -> None:
    manifest = build(tmp_path, 53, age=range(53), identity=[f"p{i // 2}" for i in range(53)])
    tested: list[str] = []
    for fold in range(1, 6):
        split = parts(split_manifest(manifest, "kfold", stratify="age", fold=fold, folds=5, seed=4))
        tested += split["test"]
        # 27 people in 5 folds: 5 or 6 each.
        assert 9 <= len(split["test"]) <= 12
    assert sorted(tested) == sorted(f"{i}.png" for i in range(53))


def test_a_person_with_most_of_the_photos_does_not_become_the_test(tmp_path: Path) -> None:
    # 12 photos, 8 of one person: a fifth is 2.4, to which two single photos come nearest.
    manifest = build(tmp_path, 12, age=range(12), identity=["a"] * 8 + list("bcde"))
    for seed in range(20):
        rows = split_manifest(manifest, "stratified", stratify="age", validation=0.0, seed=seed).rows
        assert (rows["split"] == "test").sum() == 2
        assert (rows["split"][:8] == "train").all()


def test_folds_are_as_equal_as_people_allow(tmp_path: Path) -> None:
    # 30 photos in 3 folds of 10: people of 8, 6, 5, 4, 3, 2, 1, 1 photos fill them exactly (8+2, 6+4, 5+3+1+1).
    sizes = [1, 8, 3, 6, 1, 5, 2, 4]
    people = [f"p{person}" for person, size in enumerate(sizes) for _ in range(size)]
    manifest = build(tmp_path, 30, age=[50] * 30, identity=people)
    for seed in range(5):
        for fold in (1, 2, 3):
            rows = split_manifest(manifest, "kfold", stratify="", fold=fold, folds=3, validation=0, seed=seed).rows
            assert (rows["split"] == "test").sum() == 10


def test_parts_are_no_worse_than_those_of_scikit_learn() -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    rng, ours, theirs = np.random.default_rng(0), [], []
    for seed in range(8):
        groups = np.repeat(np.arange(60), rng.integers(1, 30, 60))
        strata = rng.integers(0, 5, len(groups))
        fold_of = np.empty(len(groups), int)
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(groups, strata, groups)
        for fold, (_, rows) in enumerate(folds):
            fold_of[rows] = fold
        parts = balanced_parts(groups, strata, [0.2] * 5, np.random.default_rng(seed))
        assert (pd.Series(parts).groupby(groups).nunique() == 1).all()
        for found, part_of in ((ours, parts), (theirs, fold_of)):
            table = np.array([np.bincount(part_of[strata == stratum], minlength=5) for stratum in range(5)])
            found.append([np.ptp(table.sum(axis=0)), np.abs(table - table.mean(axis=1, keepdims=True)).max()])
    # Difference of the largest and smallest part, and the largest distance of a stratum from its fifth, in rows.
    assert (np.mean(ours, axis=0) <= np.mean(theirs, axis=0)).all()


def test_every_part_has_a_group_while_there_are_enough() -> None:
    # Two groups of six rows: a fifth is 2.4, and yet one of them is the test.
    drawn = balanced_parts(np.repeat([0, 1], 6), np.zeros(12), [0.2, 0.8], np.random.default_rng(0))
    assert sorted(np.bincount(drawn)) == [6, 6]
    assert len(balanced_parts(np.array([]), np.array([]), [0.2, 0.8], np.random.default_rng(0))) == 0


@pytest.mark.parametrize("method", ["stratified", "kfold", "given"])
def test_the_order_of_rows_does_not_matter(tmp_path: Path, method: str) -> None:
    rng = np.random.default_rng(5)
    columns = {"age": rng.integers(0, 20, 60), "identity": [f"p{i}" for i in rng.integers(0, 25, 60)]}
    given = ["train"] * 45 + ["test"] * 15
    manifest = build(tmp_path, 60, **columns, **({"split": given} if method == "given" else {}))
    first = split_manifest(manifest, method, stratify="age", validation=0.2)
    assert (first.rows["split"] == "val").any()
    for order in (np.arange(60)[::-1], rng.permutation(60)):
        shuffled = replace(manifest, rows=manifest.rows.iloc[order].reset_index(drop=True))
        assert split_manifest(shuffled, method, stratify="age", validation=0.2).split_hash() == first.split_hash()


def test_plan_1_draws_as_it_did_for_published_results(tmp_path: Path) -> None:
    # Not derived: what plan 1 gave before there was another.
    people = [f"p{i % 16}" for i in range(24)]
    manifest = build(tmp_path, 24, age=[i * 37 % 100 for i in range(24)], identity=people)
    for method, options, val, test in (
        ("stratified", {"test": 0.25}, [6, 13, 22], [1, 5, 11, 15, 17, 21]),
        ("kfold", {"fold": 2, "folds": 4}, [2, 13, 18], [5, 7, 12, 14, 21, 23]),
    ):
        split = split_manifest(manifest, method, stratify="age", validation=0.2, seed=3, plan=1, **options).rows[
            "split"
        ]
        assert np.flatnonzero(split == "val").tolist() == val
        assert np.flatnonzero(split == "test").tolist() == test


def test_an_unknown_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown plan 3; valid: 1, 2"):
        split_manifest(build(tmp_path, 3, age=range(3)), "stratified", stratify="age", plan=3)


def test_official_folds_are_taken_as_they_are(tmp_path: Path) -> None:
    manifest = build(tmp_path, 6, age=range(6), fold=[1, 2, 3, 1, 2, 3])
    split = parts(split_manifest(manifest, "kfold", stratify="age", fold=2, folds=3, validation=0.0, seed=9))
    assert split == {"test": {"1.png", "4.png"}, "train": {"0.png", "2.png", "3.png", "5.png"}}
    with pytest.raises(DataError, match="has 3 folds, not 5"):
        split_manifest(manifest, "kfold", stratify="age", fold=5, folds=5)


def test_a_given_split_is_kept_whole(tmp_path: Path) -> None:
    names = ["train", "val", "test", "train", "test"]
    split = split_manifest(build(tmp_path, 5, age=range(5), split=names), "given", stratify="age", validation=0.5)
    assert split.rows["split"].tolist() == names


def test_val_is_held_out_of_train_where_the_data_gives_none(tmp_path: Path) -> None:
    names = ["train"] * 40 + ["test"] * 10
    manifest = build(tmp_path, 50, age=range(50), split=names)
    split = parts(split_manifest(manifest, "given", stratify="age", validation=0.25))
    assert {name: len(images) for name, images in split.items()} == {"train": 30, "val": 10, "test": 10}
    assert split["test"] == {f"{i}.png" for i in range(40, 50)}
    none = split_manifest(manifest, "given", stratify="age", validation=0.0)
    assert none.rows["split"].tolist() == names


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train", "train", "train"], "split given leaves no test rows of 3 photos"),
        (["train", "val", "val"], "split given leaves no test rows of 3 photos"),
        ([None, None, None], "gives no split"),
        (["train", "test", None], "1 rows have no split while others have"),
    ],
)
def test_a_given_split_without_test_is_refused(tmp_path: Path, names: list[str | None], message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_manifest(build(tmp_path, 3, age=range(3), split=names), "given", stratify="age")


def test_copies_across_a_given_split_are_put_aside_from_the_train_side(tmp_path: Path) -> None:
    # 0, 3 and 4 are copies: train, val and test; 1 and 2 are copies within train.
    manifest = build(
        tmp_path, 6, [0, 1, 1, 0, 0, 5], age=range(6), split=["train", "train", "train", "val", "test", "val"]
    )
    split = without_straddling(split_manifest(manifest, "given", stratify="age"))
    assert parts(split) == {"train": {"1.png", "2.png"}, "val": {"5.png"}, "test": {"4.png"}}
    assert dict(zip(split.quarantine["image"], split.quarantine["reason"], strict=True)) == {
        "0.png": "exact duplicate of a test photo",
        "3.png": "exact duplicate of a test photo",
    }


@pytest.mark.parametrize("method", ["stratified", "kfold"])
def test_the_seed_alone_decides(tmp_path: Path, method: str) -> None:
    manifest = build(tmp_path, 60, age=range(60))
    same = [split_manifest(manifest, method, stratify="age", seed=3).split_hash() for _ in range(2)]
    assert same[0] == same[1]
    assert split_manifest(manifest, method, stratify="age", seed=4).split_hash() != same[0]


def test_rows_without_the_stratified_label_are_split_too(tmp_path: Path) -> None:
    ages = [float(i) if i % 2 else None for i in range(40)]
    smile = CategoricalTask("mood", ("calm", "glad"))
    manifest = build(tmp_path, 40, tasks=[AGE, smile], age=ages, mood=["calm"] * 40)
    rows = split_manifest(manifest, "stratified", stratify="age", test=0.5, validation=0.0).rows
    missing = rows["age"].isna()
    assert (rows.loc[missing, "split"] == "test").sum() == pytest.approx(10, abs=1)


@pytest.mark.parametrize(
    "wrong", [{"test": 0.0}, {"test": 1.0}, {"validation": 1.0}, {"validation": -0.1}, {"fold": 0}, {"fold": 6}]
)
def test_shares_and_folds_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="split: test"):
        split_manifest(build(tmp_path, 3, age=range(3)), "stratified", stratify="age", **wrong)


def test_an_unknown_method_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown split method 'stratifed'; did you mean 'stratified'"):
        split_manifest(build(tmp_path, 3, age=range(3)), "stratifed", stratify="age")


def test_a_person_on_both_sides_of_a_given_split_leaves_the_train_side(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "image": [f"{i}.png" for i in range(4)],
            "age": [10.0, 20.0, 30.0, 40.0],
            "split": ["train", "train", "test", "test"],
            "identity": ["a", "b", "b", "c"],
        }
    )
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(bytes([i]))
    manifest = build_manifest(Source("s", tmp_path), rows, [ScalarTask("age", 0, 100, 1)])
    split = without_straddling(split_manifest(manifest, "given", stratify="age", validation=0))
    assert split.rows["image"].tolist() == ["0.png", "2.png", "3.png"]
    assert split.quarantine[["image", "reason"]].values.tolist() == [["1.png", "same person as a test photo"]]
