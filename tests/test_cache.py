"""The cache of derived data: limit, least recently used, never what is in use, whatever is killed."""

from __future__ import annotations

import fcntl
import gc
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from keras_faceattr import cache
from keras_faceattr.cache import KINDS, entries, hold, hold_for_good, limit, make_room, remove
from keras_faceattr.data.crop_cache import load_crops
from keras_faceattr.data.datasets import read_dataset
from keras_faceattr.errors import ConfigError
from keras_faceattr.faces.crop_spec import CropSpec

DAY = 86400.0
Make = Callable[..., Path]


@pytest.fixture
def make(own_cache: Path) -> Make:
    """Writes an entry of the cache, last used some days ago."""

    def write(name: str, size: int = 100, days: float = 0.0) -> Path:
        path = own_cache / name
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(size))
        else:
            path.mkdir(parents=True)
            (path / "photo.jpg").write_bytes(bytes(size))
        os.utime(path, (time.time() - days * DAY,) * 2)
        return path

    return write


@pytest.fixture
def other_process() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Starts processes that hold an entry until they are killed."""
    started = []

    def start(path: Path) -> subprocess.Popen[str]:
        code = (
            "import sys, time; from pathlib import Path; from keras_faceattr.cache import hold_for_good\n"
            "print(hold_for_good(Path(sys.argv[1])), flush=True); time.sleep(300)"
        )
        child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
        started.append(child)
        assert child.stdout is not None and child.stdout.readline() == "True\n"
        return child

    yield start
    for child in started:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def names(found: list[cache.Entry]) -> list[str]:
    return [entry.path.name for entry in found]


def test_each_kind_is_found_least_recently_used_first_with_the_size_of_all_its_files(make: Make) -> None:
    make("crops/a.npy", 1000, days=3)
    make("crops/a.json", 24, days=3)
    make("synthetic/v1", 70, days=5)
    make("fer2013-abc", 30, days=1)
    make("crops/.writing-1-b.npy", 5, days=2)
    make("crops/.writing-2-c.npy", 5, days=0)
    make("notes/own.txt", 5, days=9)
    found = entries()
    assert [(entry.kind, entry.path.name, entry.size) for entry in found] == [
        ("synthetic", "v1", 70), ("crops", "a.npy", 1024), ("leftovers", ".writing-1-b.npy", 5),
        ("fer2013", "fer2013-abc", 30),
    ]  # fmt: skip
    assert names(entries(["crops", "fer2013"], older_than_days=2)) == ["a.npy"]
    with pytest.raises(ConfigError, match="unknown kind 'crop'; did you mean 'crops'"):
        entries(["crop"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("50GB", 50 * 10**9), ("1.5 tb", 1_500_000_000_000), ("700", 700), ("none", None), ("0", 0), ("2KB", 2000)],
)
def test_the_limit_is_read_from_the_environment(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: int | None
) -> None:
    monkeypatch.setenv(cache.LIMIT, text)
    assert limit() == expected


def test_without_a_limit_of_the_user_it_is_20_gb_or_a_quarter_of_a_small_disk(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(cache.LIMIT, raising=False)
    for total, expected in ((10**12, 20 * 10**9), (40 * 10**9, 10 * 10**9)):
        monkeypatch.setattr(cache.shutil, "disk_usage", lambda _, total=total: SimpleNamespace(total=total, free=total))
        assert limit() == expected
    monkeypatch.setenv(cache.LIMIT, "much")
    with pytest.raises(ConfigError, match="KERAS_FACEATTR_CACHE_LIMIT=much: write a size such as 50GB, or none"):
        limit()


def test_the_least_recently_used_make_room_and_costly_ones_stay(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.LIMIT, "1000")
    make("demo/certificate.pem", 100, days=30)
    make("mtcnn/k", 100, days=20)
    make("crops/old.npy", 300, days=3)
    make("crops/old.json", 1, days=3)
    make("synthetic/older", 300, days=4)
    make("crops/new.npy", 150, days=1)
    assert names(make_room(0)) == []
    assert names(make_room(200)) == ["older"]
    assert names(make_room(500)) == ["old.npy"]
    assert names(entries()) == ["certificate.pem", "k", "new.npy"]
    assert not list(entries(["leftovers"])) and not (cache.cache_folder() / "crops" / "old.json").exists()
    # Larger than the limit alone: everything that may go goes.
    assert names(make_room(5000)) == ["new.npy"]


def test_a_full_disk_makes_room_too(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.LIMIT, "none")
    first, second = make("crops/a.npy", 400, days=2), make("crops/b.npy", 400, days=1)
    free = {True: 100, False: 500}
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=free[first.exists()], total=10**6))
    make_room(450)
    assert not first.exists() and second.exists()


def test_what_another_process_uses_stays_until_it_ends(
    make: Make, other_process: Callable[[Path], subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.LIMIT, "0")
    photos, crops = make("synthetic/v1", days=3), make("crops/a.npy", days=2)
    child = other_process(photos)
    # Its use counts as the last one.
    assert names(entries()) == ["a.npy", "v1"] and [entry.in_use for entry in entries()] == [False, True]
    assert names(make_room(0)) == ["a.npy"] and photos.is_dir() and not crops.exists()
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert names(make_room(0)) == ["v1"] and not photos.exists()


def test_a_hold_ends_with_its_object(make: Make) -> None:
    path = make("crops/a.npy")
    held = hold(path)
    (entry,) = entries()
    assert held is not None and entry.in_use and not remove(entry) and path.exists()
    del held
    gc.collect()
    assert not entry.in_use and remove(entry) and not path.exists()
    assert hold(path) is None and not hold_for_good(path)


def test_without_locks_entries_are_used_and_never_removed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(37, "No locks available")

    path = make("synthetic/v1")
    monkeypatch.setattr(fcntl, "flock", unsupported)
    assert hold(path) is not None and entries()[0].in_use and not remove(entries()[0]) and path.is_dir()


def test_a_removal_that_was_killed_leaves_no_entry_and_is_cleaned_later(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make("synthetic/v1")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cache.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove(entries()[0])
    monkeypatch.undo()
    monkeypatch.setenv("KERAS_FACEATTR_CACHE", str(photos.parents[1]))
    assert not photos.exists() and entries() == []
    (left,) = photos.parent.iterdir()
    os.utime(left, (time.time() - 2 * DAY,) * 2)
    (entry,) = entries()
    assert entry.kind == "leftovers" and remove(entry) and list(photos.parent.iterdir()) == []


def test_a_training_keeps_its_crops_and_its_photos(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.LIMIT, "0")
    manifest = read_dataset("synthetic", None, {"count": 20, "size": 32})
    crops, _ = load_crops(manifest, CropSpec(16), "disk")
    assert {entry.kind: entry.in_use for entry in entries()} == {"synthetic": True, "crops": True}
    assert make_room(1) == []
    part = crops.pixels[3:5] if crops.pixels is not None else None
    del crops
    gc.collect()
    assert part is not None and make_room(1) == []
    values = np.array(part)
    del part
    gc.collect()
    assert [entry.kind for entry in make_room(1)] == ["crops"]
    # Made again, and then read from the cache.
    for _ in range(2):
        again, _ = load_crops(manifest, CropSpec(16), "disk")
        assert again.pixels is not None
        np.testing.assert_array_equal(again.pixels[3:5], values)


def test_a_removed_collection_is_drawn_again(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_HELD", {})
    first = read_dataset("synthetic", None, {"count": 12, "size": 32})
    cache._HELD.clear()
    gc.collect()
    (entry,) = entries()
    assert remove(entry) and not first.paths()[0].exists()
    second = read_dataset("synthetic", None, {"count": 12, "size": 32})
    assert second.paths()[0].exists() and second.label_hash() == first.label_hash()


def test_every_place_that_caches_is_a_kind() -> None:
    package = Path(cache.__file__).parent
    places = {
        place
        for path in package.rglob("*.py")
        for place in re.findall(r'cache_folder\(\) / f?"([a-z0-9]+)', path.read_text(encoding="utf-8"))
    }
    patterns = [pattern for kind in KINDS.values() for pattern in kind.patterns]
    assert len(places) == 8
    assert {place for place in places if not any(pattern.startswith(place) for pattern in patterns)} == set()
