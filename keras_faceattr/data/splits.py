"""Splits that never put one person, or one photo twice, on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from keras_faceattr.data.drawing import PLANS, Plan
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.data.targets import middles
from keras_faceattr.errors import DataError, nearest
from keras_faceattr.faces.photos import resources
from keras_faceattr.tasks import ScalarTask

STRATA = 10
"""Quantiles of a scalar label that a stratified split keeps in proportion."""


def photo_hashes(manifest: Manifest) -> np.ndarray:
    """(n,) SHA-1 of each photo's bytes, in hexadecimal; empty where a photo cannot be read.

    Raises:
        ResourceError: open files ran out, without which copies would go unnoticed.
    """

    def digest(path: Path) -> str:
        try:
            with resources(str(path)):
                return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
        except OSError:
            return ""

    with ThreadPoolExecutor(4) as pool:
        return np.array(list(pool.map(digest, manifest.paths())), dtype=object)


def linked_groups(identities: pd.Series | None, hashes: np.ndarray) -> np.ndarray:
    """(n,) number of the group of photos that must stay together: one identity, or exact duplicates, transitively."""
    # Half a second that only splitting needs.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    keys = [pd.Series(hashes).mask(pd.Series(hashes) == "")]
    if identities is not None:
        keys.append(identities.reset_index(drop=True).astype(object))
    # A graph of the photos and, behind them, of every identity and hash that they have.
    photos, nodes, count = [], [], len(hashes)
    for key in keys:
        codes, names = pd.factorize(key)
        known = np.flatnonzero(codes >= 0)
        photos.append(known)
        nodes.append(count + codes[known])
        count += len(names)
    edges = np.concatenate(photos), np.concatenate(nodes)
    graph = coo_array((np.ones(len(edges[0]), bool), edges), (count, count))
    return np.asarray(connected_components(graph, directed=False)[1][: len(hashes)])


def split_manifest(
    manifest: Manifest,
    method: str,
    *,
    stratify: str,
    test: float = 0.2,
    validation: float = 0.1,
    fold: int = 1,
    folds: int = 5,
    seed: int = 0,
    plan: int = max(PLANS),
    needed: tuple[str, ...] = ("train", "test"),
) -> Manifest:
    """Fill the columns `split`, and `sha1` of each photo's bytes.

    Which photo is in which split depends on the photos, on `stratify`, the plan and the seed alone: whoever reads the
    same data set gets the same split, whatever is to be learned from it.

    Args:
        method: `given` keeps the data set's own train and test; `stratified` draws a test share; `kfold` takes
            fold `fold` as test (the data set's own folds where it has them, else drawn); `train` takes all photos
            for training; `given_or_test` is as `given`, but takes all photos for tests where the data gives no split.
        stratify: the task whose labels are kept in proportion.
        test: share of all photos drawn as test, whole groups, for `stratified`.
        validation: share of train held out as val, where the data set gives no val; 0 for none. Of `train` none is.
        fold: from 1 to `folds`.
        plan: number of the rules by which photos are drawn, of `PLANS`.
        needed: splits that must not be empty.

    Returns:
        The manifest with every row in one of train, val, test; a split that the data gives may still hold one person
        on two sides, see `without_straddling`.

    Raises:
        DataError: unknown method, a share or fold out of range, or a given split that does not exist.
    """
    if method not in METHODS:
        raise DataError(f"unknown split method {method!r}; {nearest(method, METHODS)}")
    if not 0 <= validation < 1 or not 0 < test < 1 or not 1 <= fold <= folds:
        raise DataError(
            f"split: test {test} and validation {validation} must be shares below 1, fold {fold} in 1 to {folds}"
        )
    if plan not in PLANS:
        raise DataError(f"split: unknown plan {plan}; valid: {', '.join(map(str, PLANS))}")
    rules, manifest = PLANS[plan], replace(manifest, rows=manifest.rows.assign(sha1=photo_hashes(manifest)))
    order = np.arange(len(manifest))
    if rules.in_order_of_names:
        order = manifest.rows.reset_index(drop=True).sort_values(["source", "image"]).index.to_numpy()
    drawn = replace(manifest, rows=manifest.rows.iloc[order].reset_index(drop=True))
    groups, strata = _groups(drawn), _strata(drawn, stratify)
    photos = _Photos(drawn, groups, strata, rules, np.random.default_rng(seed))
    split = METHODS[method](photos, test, fold, folds)
    if validation > 0 and method in HOLDING_OUT and not (split == "val").any():
        train = np.flatnonzero(split == "train")
        split[train[photos.draw(validation, train)]] = "val"
    split[order] = split.copy()
    for name in needed:
        if not (split == name).any():
            raise DataError(
                f"split {method} leaves no {name} rows of {len(manifest)} photos in {len(set(groups))} groups "
                "(a group is one identity or exact duplicates): choose another data.split or add photos"
            )
    return replace(manifest, rows=manifest.rows.assign(split=pd.array(split, dtype="string")))


def without_straddling(manifest: Manifest) -> Manifest:
    """Quarantine train or val photos whose person or exact copy is in a split further along train, val, test.

    Only splits that the data gives, and copies in two data sets, need this: those drawn here keep groups whole.
    """
    rank = manifest.rows["split"].map({"train": 0, "val": 1, "test": 2}).to_numpy(int)
    hashes = manifest.rows["sha1"].to_numpy(object)
    highest = pd.Series(rank).groupby(_groups(manifest)).transform("max").to_numpy()
    copies = pd.Series(rank).groupby(hashes).transform("max").to_numpy()
    straddling = np.flatnonzero(rank < highest)
    names = np.array(["train", "val", "test"])
    kinds = np.where((copies > rank) & (hashes != ""), "exact duplicate of", "same person as")
    reasons = [f"{kinds[i]} a {names[highest[i]]} photo" for i in straddling]
    return manifest.put_aside(list(straddling), reasons)


def _groups(manifest: Manifest) -> np.ndarray:
    """(n,) number of each photo's group, as of `linked_groups`."""
    rows = manifest.rows
    # Person 1 of one data set is not person 1 of another.
    identities = rows["source"] + "/" + rows["identity"] if "identity" in rows else None
    return linked_groups(identities, rows["sha1"].to_numpy(object))


@dataclass(frozen=True)
class _Photos:
    """Photos with their groups, strata, and the rules and random state by which they are drawn."""

    manifest: Manifest
    groups: np.ndarray
    strata: np.ndarray
    rules: Plan
    rng: np.random.Generator

    def draw(self, share: float, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return whether each of `rows` is drawn."""
        return self.rules.draw(self.groups[rows], self.strata[rows], share, self.rng)


def _given(photos: _Photos, *_: object) -> np.ndarray:
    split = photos.manifest.rows["split"]
    if split.isna().all():
        raise DataError("the data gives no split: set data.split.method to stratified or kfold")
    if split.isna().any():
        raise DataError(f"{int(split.isna().sum())} rows have no split while others have: fill the split column")
    return split.to_numpy(object).copy()


def _stratified(photos: _Photos, test: float, *_: object) -> np.ndarray:
    return np.where(photos.draw(test), "test", "train").astype(object)


def _kfold(photos: _Photos, test: float, fold: int, folds: int) -> np.ndarray:
    rows = photos.manifest.rows
    if "fold" in rows and rows["fold"].notna().any():
        if rows["fold"].isna().any():
            raise DataError(f"{int(rows['fold'].isna().sum())} rows have no fold while others have: fill it")
        given = rows["fold"].astype(int).to_numpy()
        if fold > given.max():
            raise DataError(f"the data set has {given.max()} folds, not {fold}")
        return np.where(given == fold, "test", "train").astype(object)
    drawn = photos.rules.draw_folds(photos.groups, photos.strata, folds, photos.rng)
    return np.where(drawn == fold, "test", "train").astype(object)


def _train(photos: _Photos, *_: object) -> np.ndarray:
    return np.full(len(photos.manifest), "train", dtype=object)


def _given_or_test(photos: _Photos, *rest: object) -> np.ndarray:
    if photos.manifest.rows["split"].isna().all():
        return np.full(len(photos.manifest), "test", dtype=object)
    return _given(photos, *rest)


METHODS: dict[str, Callable[..., np.ndarray]] = {
    "given": _given,
    "stratified": _stratified,
    "kfold": _kfold,
    "train": _train,
    "given_or_test": _given_or_test,
}
ONE_SIDED = ("given", "train", "given_or_test")
"""Methods by which one of several data sets may be for training or for tests alone."""
HOLDING_OUT = ("given", "stratified", "kfold")
"""Methods whose train photos give up a share as val."""


def _strata(manifest: Manifest, task_name: str) -> np.ndarray:
    """(n,) stratum of each row: quantile of a scalar label, or the label itself; -1 where there is none."""
    task = manifest.tasks.get(task_name)
    if task is None or task.kind in ("multilabel", "identity", "embedding"):
        return np.zeros(len(manifest), int)
    labels = manifest.rows[task_name]
    if isinstance(task, ScalarTask):
        labels = middles(manifest, task)
        ranks = labels.rank(method="first", pct=True)
        return np.where(labels.isna(), -1, np.ceil(ranks.fillna(0) * STRATA)).astype(int)
    return pd.factorize(labels)[0]
