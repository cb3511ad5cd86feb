"""`keras-faceattr cache` from the outside."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from keras_faceattr.cache import hold

from .conftest import Cli


@pytest.fixture
def filled(own_cache: Path) -> Path:
    """A cache with crops of 40 days ago and drawn faces of today."""
    crops, faces = own_cache / "crops", own_cache / "synthetic" / "v1"
    crops.mkdir(parents=True)
    faces.mkdir(parents=True)
    (crops / "a.npy").write_bytes(bytes(2_000_000))
    (faces / "0.jpg").write_bytes(bytes(500_000))
    os.utime(crops / "a.npy", (time.time() - 40 * 86400,) * 2)
    return own_cache


def test_it_shows_what_is_there_and_what_it_is_for(cli: Cli, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_FACEATTR_CACHE_LIMIT", "3GB")
    done = cli("cache", "--json")
    found = done.json()
    assert (found["folder"], found["limit_bytes"]) == (str(filled), 3_000_000_000)
    assert [(row["kind"], row["name"], row["bytes"], row["in_use"]) for row in found["entries"]] == [
        ("crops", "a.npy", 2_000_000, False), ("synthetic", "v1", 500_000, False),
    ]  # fmt: skip
    assert all(row["purpose"] and row["last_used"] for row in found["entries"])
    shown = cli("cache", "--kind", "crops,synthetic").out
    assert "2.0" in shown and "decoded crops" in shown and "limit 3.0 GB" in shown
    assert (filled / "crops" / "a.npy").exists()


def test_cleaning_removes_what_was_asked_for_and_is_not_in_use(cli: Cli, filled: Path) -> None:
    crops, faces = filled / "crops" / "a.npy", filled / "synthetic" / "v1"
    assert "removed 0 entries" in cli("cache", "--clean", "--kind", "demo").out
    assert "removed 0 entries" in cli("cache", "--clean", "--older-than", "50").out
    held = hold(faces)
    os.utime(crops, (time.time() - 40 * 86400,) * 2)
    done = cli("cache", "--clean", "--json")
    assert done.code == 0 and done.json()["freed_bytes"] == 2_000_000
    assert done.json()["removed"] == [str(crops)] and done.json()["in_use"] == [str(faces)]
    assert held is not None and faces.exists() and not crops.exists()
    held.release()
    assert f"removed 1 entries, {0.0005:.2f} GB" in cli("cache", "--clean").out and not faces.exists()


def test_an_unknown_kind_and_an_empty_cache(cli: Cli, own_cache: Path) -> None:
    assert "did you mean 'crops'" in cli("cache", "--kind", "crop").error
    assert cli("cache", "--json").json()["entries"] == []
    assert "0.00 GB in 0 entries" in cli("cache").out
