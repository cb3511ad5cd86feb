"""Where the work is done, in processes or on a Ray cluster; results come in the order of the photos."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from keras_faceattr.alignment.work import AlignedPhoto, Work, align_photos
from keras_faceattr.errors import ConfigError, ResourceError, RunError
from keras_faceattr.processes import worker_pool

Chunk = list[Path]
Engine = Callable[[Work, Iterable[Chunk]], Iterator[list[AlignedPhoto]]]

AHEAD = 2
"""Chunks in hand for each worker: enough to keep it busy, few enough to keep memory flat."""

ENDING_S = 10.0
"""A process whose pool is broken has ended, or is about to."""

RETRIES = 3
"""How often Ray does again what a lost worker had in hand."""

KILLER = "decoding it ended the worker process"

NO_MEMORY = "{}: its worker was killed, as where memory runs out; free some or use fewer --workers, and run it again"
"""Message about a worker that was killed from outside, which says nothing about the photo."""


def local_engine(workers: int) -> Engine:
    """Processes of this machine, each on one thread.

    A photo that kills its process is quarantined; no other is lost or done twice.

    Raises:
        ResourceError: no process can start, or one was killed from outside, as the system does for lack of memory.
    """

    def run(work: Work, chunks: Iterable[Chunk]) -> Iterator[list[AlignedPhoto]]:
        waiting: deque[tuple[Chunk, Future[list[AlignedPhoto]]]] = deque()
        left, pool = iter(chunks), worker_pool(workers)
        try:
            while True:
                while len(waiting) < workers * AHEAD and (chunk := next(left, None)) is not None:
                    waiting.append((chunk, _submit(pool, work, chunk)))
                if not waiting:
                    return
                chunk, future = waiting.popleft()
                try:
                    results = future.result()
                except BrokenProcessPool:
                    # One of the chunks in hand did it. The first is gone through photo by photo, the others again.
                    pool.shutdown(wait=False)
                    pool = worker_pool(workers)
                    _check_alive(pool)
                    results = _carefully(work, chunk)
                    waiting = deque((other, _submit(pool, work, other)) for other, _ in waiting)
                yield results
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    return run


def ray_engine(address: str | None) -> Engine:
    """A Ray cluster, whose nodes see the photos under the same paths and have this package installed.

    What a lost worker had in hand is done by another; only this process writes, so that nothing is written twice.

    Args:
        address: such as `ray://host:10001`; None for a cluster on this machine.

    Raises:
        ConfigError: Ray is not installed, or no such address.
    """
    try:
        import ray
    except ImportError:
        raise ConfigError("--engine ray needs Ray: pip install keras-faceattr[ray]") from None
    if address and not address.startswith("ray://"):
        raise ConfigError(f"--address {address!r} is none of a Ray cluster: write ray://HOST:10001")

    def run(work: Work, chunks: Iterable[Chunk]) -> Iterator[list[AlignedPhoto]]:
        ours = not ray.is_initialized()
        if ours:
            _connect(ray, address)
        try:
            task = ray.remote(num_cpus=1, max_retries=RETRIES)(align_photos)
            left, waiting = iter(chunks), deque[tuple[Chunk, Any]]()
            while True:
                ahead = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
                while len(waiting) < ahead and (chunk := next(left, None)) is not None:
                    waiting.append((chunk, task.remote(work, chunk)))
                if not waiting:
                    return
                chunk, reference = waiting.popleft()
                try:
                    yield ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                except ray.exceptions.OutOfMemoryError:
                    raise ResourceError(NO_MEMORY.format(chunk[0])) from None
                except _lost(ray):
                    # Again and again: one of its photos did it.
                    yield [_alone(ray, task, work, path) for path in chunk]
        except ConnectionError as error:
            raise RunError(f"lost the Ray cluster ({error}); run it again, it goes on") from None
        finally:
            if ours:
                ray.shutdown()

    return run


def _lost(ray: Any) -> tuple[type[Exception], ...]:
    """Errors that Ray raises for a worker that did not come back."""
    names = ("WorkerCrashedError", "NodeDiedError", "LocalRayletDiedError", "ObjectLostError")
    return tuple(getattr(ray.exceptions, name) for name in names)


def _alone(ray: Any, task: Any, work: Work, path: Path) -> AlignedPhoto:
    try:
        (result,) = ray.get(task.remote(work, [path]))
    except _lost(ray):
        return AlignedPhoto("", (), KILLER)
    return result  # type: ignore[no-any-return]


def _connect(ray: Any, address: str | None) -> None:
    try:
        with warnings.catch_warnings(action="ignore"):
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ConfigError(f"no Ray cluster at {address or 'this machine'}: {first}") from None


def _submit(pool: ProcessPoolExecutor, work: Work, chunk: Chunk) -> Future[list[AlignedPhoto]]:
    try:
        return pool.submit(align_photos, work, chunk)
    except BrokenProcessPool as error:
        broken: Future[list[AlignedPhoto]] = Future()
        broken.set_exception(error)
        return broken


def _check_alive(pool: ProcessPoolExecutor) -> None:
    """Does no photo wrong where no process can start at all.

    Raises:
        ResourceError: none can.
    """
    try:
        pool.submit(os.getpid).result()
    except BrokenProcessPool:
        raise ResourceError("worker processes cannot be started here: free memory and run it again") from None


def _carefully(work: Work, chunk: Chunk) -> list[AlignedPhoto]:
    """One photo after the other, so that it shows which of them ends its process."""
    results: list[AlignedPhoto] = []
    worker: tuple[ProcessPoolExecutor, BaseProcess] | None = None
    try:
        for path in chunk:
            worker = worker or _single()
            pool, process = worker
            try:
                results += pool.submit(align_photos, work, [path]).result()
            except BrokenProcessPool:
                pool.shutdown(wait=False)
                worker = None
                process.join(ENDING_S)
                if process.exitcode == -signal.SIGKILL:
                    raise ResourceError(NO_MEMORY.format(path)) from None
                results.append(AlignedPhoto("", (), KILLER))
    finally:
        if worker:
            worker[0].shutdown(wait=False)
    return results


def _single() -> tuple[ProcessPoolExecutor, BaseProcess]:
    """A pool of one process, and that process, which tells how it ended."""
    before = set(multiprocessing.active_children())
    pool = worker_pool(1)
    _check_alive(pool)
    (process,) = set(multiprocessing.active_children()) - before
    return pool, process


ENGINES = ("local", "ray")


def engine_of(name: str, workers: int, address: str | None) -> Engine:
    """The engine that the command line names.

    Raises:
        ConfigError: an address without Ray, or Ray is not installed.
    """
    if name == "ray":
        return ray_engine(address)
    if address:
        raise ConfigError("--address is Ray's: add --engine ray")
    return local_engine(workers)
