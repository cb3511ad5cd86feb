"""Whatever happens to a worker, each photo has one result, in the order of the photos."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PosixPath
from typing import Any

import pytest
from aligning import here, plain_photos, scene, written
from processes import is_running, wait_for

from keras_faceattr.alignment.engines import AHEAD, KILLER, Engine, engine_of, local_engine, ray_engine
from keras_faceattr.alignment.work import AlignedPhoto, Work
from keras_faceattr.errors import ConfigError, ResourceError
from keras_faceattr.faces.crop_spec import CropSpec

WORK = Work(CropSpec(16, "centre_square"), "largest", "png")
"""Needs no detector, so that a worker starts at once."""


class DeadlyPhoto(PosixPath):
    """A photo that ends the process which reads it, as a fault in a decoder does."""

    def read_bytes(self) -> bytes:
        os._exit(11)


class KilledPhoto(PosixPath):
    """A photo during which the system ends the process, as it does where memory runs out."""

    def read_bytes(self) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""


def chunked(photos: list[Path], size: int) -> list[list[Path]]:
    return [photos[start : start + size] for start in range(0, len(photos), size)]


def results(engine: Engine, photos: list[Path], size: int, work: Work = WORK) -> list[AlignedPhoto]:
    return [result for part in engine(work, iter(chunked(photos, size))) for result in part]


@pytest.mark.parametrize(("workers", "size"), [(1, 7), (2, 3), (2, 50), (3, 1)])
def test_results_are_complete_and_in_order(tmp_path: Path, workers: int, size: int) -> None:
    photos = plain_photos(tmp_path, 17)
    photos[4].write_text("no photo")
    expected = results(here, photos, 17)
    assert results(local_engine(workers), photos, size) == expected
    assert expected[4].reason is not None
    assert len({result.sha256 for result in expected}) == 17


def test_nothing_to_do_is_no_results() -> None:
    assert list(local_engine(2)(WORK, iter([]))) == []


def test_chunks_are_asked_for_as_they_are_needed(tmp_path: Path) -> None:
    photos, taken = plain_photos(tmp_path, 30), 0

    def chunks() -> Iterator[list[Path]]:
        nonlocal taken
        for photo in photos:
            taken += 1
            yield [photo]

    received = 0
    for _ in local_engine(2)(WORK, chunks()):
        received += 1
        assert taken - received < 2 * AHEAD
    assert taken == received == 30


def test_who_stops_early_leaves_the_rest_undone(tmp_path: Path) -> None:
    taken: list[Path] = []

    def endless() -> Iterator[list[Path]]:
        (photo,) = plain_photos(tmp_path, 1)
        while True:
            taken.append(photo)
            yield [photo]

    running = local_engine(1)(WORK, endless())
    assert len(next(running)) == 1
    running.close()  # type: ignore[attr-defined]
    assert len(taken) <= AHEAD + 1


@pytest.mark.parametrize(
    ("workers", "size", "places"), [(1, 4, [0, 11]), (2, 3, [5, 6, 10])], ids=["first and last", "in three chunks"]
)
def test_a_photo_that_ends_its_process_is_put_aside_and_no_other(
    tmp_path: Path, workers: int, size: int, places: list[int]
) -> None:
    photos = plain_photos(tmp_path, 12)
    expected = results(here, photos, 12)
    for place in places:
        photos[place] = DeadlyPhoto(photos[place])
        expected[place] = AlignedPhoto("", (), KILLER)
    assert results(local_engine(workers), photos, size) == expected


def test_a_worker_that_the_system_kills_stops_the_work_and_is_no_fault_of_the_photo(tmp_path: Path) -> None:
    photos = plain_photos(tmp_path, 4)
    expected = results(here, photos, 2)
    photos[2] = KilledPhoto(photos[2])
    found: list[AlignedPhoto] = []
    with pytest.raises(ResourceError, match="002.png: its worker was killed.* run it again"):
        for part in local_engine(1)(WORK, iter(chunked(photos, 2))):
            found += part
    assert found == expected[:2]


ENDLESS = """
import itertools, multiprocessing, sys
from pathlib import Path
from keras_faceattr.alignment.engines import local_engine
from keras_faceattr.alignment.work import Work
from keras_faceattr.faces.crop_spec import CropSpec

if __name__ == "__main__":
    chunks = itertools.repeat([Path(sys.argv[1])] * 4)
    for number, _ in enumerate(local_engine(2)(Work(CropSpec(16, "centre_square"), "largest", "png"), chunks)):
        if number == 8:
            print(*(child.pid for child in multiprocessing.active_children()), flush=True)
"""


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    (photo,) = plain_photos(tmp_path, 1)
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    parent = subprocess.Popen([sys.executable, script, photo], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2
        assert all(map(is_running, workers))
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert wait_for(lambda: not any(map(is_running, workers)), seconds=60)


def test_an_engine_is_found_by_name_and_an_address_is_rays(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="add --engine ray"):
        engine_of("local", 1, "ray://somewhere:10001")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install keras-faceattr\[ray\]"):
        engine_of("ray", 1, None)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster whose head does no work, with two nodes of one core each."""
    # Its workers find what stands in this file, and what it imports.
    here_and_above = [str(folder) for folder in Path(__file__).parents[:2]]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(here_and_above))
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes.workers = [nodes.add_node(num_cpus=1) for _ in range(2)]
        nodes.wait_for_nodes()
        ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


@pytest.mark.slow
def test_a_ray_cluster_that_loses_a_node_gives_the_results_of_one_process(tmp_path: Path, cluster: Any) -> None:
    photos = [written(tmp_path / f"{i:02d}.png", scene(i)) for i in range(36)]
    (tmp_path / "05.png").write_text("no photo")
    work = Work(CropSpec(32, "five_points"), "largest", "png")
    found: list[AlignedPhoto] = []
    for number, part in enumerate(ray_engine(None)(work, iter(chunked(photos, 2)))):
        found += part
        if number == 3:
            cluster.remove_node(cluster.workers[1], allow_graceful=False)
    assert found == results(here, photos, 36, work)


@pytest.mark.slow
def test_a_photo_that_ends_its_process_is_put_aside_on_ray_too(tmp_path: Path, cluster: Any) -> None:
    photos = plain_photos(tmp_path, 4)
    photos[1] = DeadlyPhoto(photos[1])
    assert [result.reason for result in results(ray_engine(None), photos, 2)] == [None, KILLER, None, None]
