"""The site: the page, LiteRT.js, artifacts and their detectors, in one folder that any static host can serve."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras_faceattr
from keras_faceattr.artifact.loading import Artifact, is_artifact, load_artifact
from keras_faceattr.convert.detector import export_detector
from keras_faceattr.demo.vendor import (
    LITERT_VERSION,
    SHA256,
    TEXTS,
    VERSION_FILE,
    litert_folder,
    web_folder,
)
from keras_faceattr.errors import ConfigError, DemoError
from keras_faceattr.faces.detector_spec import DetectorSpec
from keras_faceattr.faces.nets import detector_version
from keras_faceattr.run import no_run
from keras_faceattr.storage import cache_folder, replacing, replacing_folder, sha256, write_json
from keras_faceattr.tasks import answered, not_answered
from keras_faceattr.terminal.console import say_if
from keras_faceattr.zoo import file_of

FORMAT = 2
"""Version of the format of `data/demo.json`."""

KIND = "keras-faceattr demo"
"""In `data/demo.json`: by this the service worker tells this site from another app at the same address."""

INDEX = "data/demo.json"
"""Written last: what the site contains, and the sign that it is complete."""

WORKER = "sw.js"
"""The service worker, which browsers cache by rules of their own."""

SHAPES = {"live": ((320, 320), (16, 4)), "photo": ((640, 640), (16, 4))}
"""By use of a detector: size of the photo in pixels, and how many windows R-Net and O-Net look at in one call.

With the same numbers of windows these two nets are the same files, which the page fetches once.
"""

NO_PART_OF_THE_PAGE = re.compile(r"(^|/)(\.|__pycache__/)|\.pyc?$|^(android|vendor|data)/|^README")
GOLDEN = re.compile(r"(photos/)?[0-9]+\.png|(expected|photos)\.json")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Site:
    """A built site.

    Attributes:
        version: hash of all files.
        names: names of the artifacts as the page shows them; the position of one is its id.
        files: relative URLs of all files except `data/demo.json` and the service worker.
        models: the `.tflite` files, in the order of `names`.
    """

    folder: Path
    version: str
    names: tuple[str, ...]
    files: tuple[str, ...]
    models: tuple[Path, ...]


def build_demo(
    files: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    tasks: Sequence[str] = (),
    verbose: bool = True,
) -> Site:
    """Write the page that runs exported files in a phone's browser, for any static host with https.

    The command `keras-faceattr demo` serves the same page.

    Args:
        files: exported files, names of shipped nets, or folders of runs or exports.
        folder: in which the page is written, or brought up to date.
        tasks: that the page answers; default: all but the sensitive ones.
        verbose: says on stderr what takes long.

    Raises:
        ArtifactError: a file is missing or damaged.
        DemoError: the folder holds something else, a file cannot be shown, or LiteRT.js cannot be fetched.
        ConfigError: the crop's detector cannot search photos of this size, or a file has none of the tasks.
        RunError: a file cannot be written.
    """
    given = [files] if isinstance(files, str | os.PathLike) else files
    models = [file_of(Path(file)) for file in given]
    return build_site(Path(folder), models, post=False, tasks=tasks, say=say_if(verbose))


def build_site(
    folder: Path, models: Sequence[Path], *, post: bool, tasks: Sequence[str] = (), say: Say = lambda line: None
) -> Site:
    """Write a whole site, or update an earlier one; other files in its folder are left alone.

    Args:
        models: exported files, or folders of them; see `find_artifacts`.
        post: whether the server takes results.
        tasks: those that the page answers of each file that has them; none for all but the sensitive ones.
        say: called with a line before anything that takes long.

    Raises:
        ArtifactError: an artifact is missing or damaged.
        DemoError: the folder holds something else, an artifact cannot be shown, or LiteRT.js is damaged or missing and
            cannot be fetched.
        ConfigError: the crop's detector cannot search photos of this size, or a file has none of the tasks to answer.
        DetectionError: the detector's nets cannot be built.
        RunError: a file cannot be written.
    """
    artifacts = find_artifacts(models)
    shown = _shown(artifacts, tasks, say)
    earlier = _earlier_files(folder)
    sources = _page_files()
    litert = _files_of(litert_folder())
    sources |= {f"vendor/litert/{name}": litert[name] for name in (*SHA256, *TEXTS, VERSION_FILE) if name in litert}
    specs = list(dict.fromkeys(artifact.sidecar.crop_spec().detector() for artifact in artifacts))
    for key, spec in enumerate(specs):
        for use in SHAPES:
            built = _files_of(detector_folder(spec, use, say))
            sources |= {f"data/detectors/{key}/{use}/{name}": path for name, path in built.items()}
    for number, artifact in enumerate(artifacts):
        sources |= {f"data/artifacts/{number}/{name}": path for name, path in _artifact_files(artifact).items()}
    hashes = {url: _copy(path, folder / url) for url, path in sorted(sources.items())}
    _refuse_changed_litert(hashes)
    version = hashlib.sha256(json.dumps([hashes, shown]).encode()).hexdigest()[:16]
    names = unique_names([artifact.sidecar.name for artifact in artifacts])
    files = tuple(url for url in hashes if url != WORKER)
    site = Site(folder, version, names, files, tuple(artifact.path for artifact in artifacts))
    write_json(folder / INDEX, _index(site, artifacts, shown, specs, post))
    for path in (folder / url for url in earlier - set(hashes)):
        if path.is_file():
            path.unlink()
    return site


def _shown(artifacts: Sequence[Artifact], named: Sequence[str], say: Say) -> list[list[str]]:
    """The tasks that the page answers, by artifact.

    Raises:
        ConfigError: no artifact knows a named task, or an artifact would answer none.
    """
    known = [artifact.sidecar.task_objects() for artifact in artifacts]
    if named:
        answered({name: task for tasks in known for name, task in tasks.items()}, named)
    shown = []
    for artifact, tasks in zip(artifacts, known, strict=True):
        own = [name for name in named if name in tasks]
        try:
            # With none of them it is refused, as where a name is unknown.
            found = answered(tasks, own or named)
        except ConfigError as error:
            raise ConfigError(f"{artifact.path}: {error}") from None
        for line in () if named else not_answered(tasks, found):
            say(f"{artifact.sidecar.name}: {line}")
        shown.append(list(found))
    return shown


def _refuse_changed_litert(hashes: dict[str, str]) -> None:
    """Check the copies themselves: a file may change between a check of its folder and the copy."""
    for name, digest in SHA256.items():
        url = f"vendor/litert/{name}"
        if hashes.get(url) != digest:
            raise DemoError(f"{url} is not the file that was fetched: run python -m keras_faceattr.demo.vendor")


def find_artifacts(names: Sequence[Path]) -> list[Artifact]:
    """Verified artifacts of batch size 1, each once.

    Args:
        names: `.tflite` files, runs, or folders that `export` wrote; a folder stands for all artifacts in it.

    Raises:
        ArtifactError: a file is missing or damaged.
        DemoError: a folder has no artifact, or a file takes several photos at once.
    """
    paths = [path for name in names for path in ([name] if is_artifact(name) else _exported(name))]
    artifacts = [load_artifact(path) for path in {path.resolve(): path for path in paths}.values()]
    for artifact in artifacts:
        shape = artifact.sidecar.input.shape
        if shape[:1] != (1,):
            raise DemoError(
                f"{artifact.path} takes a batch of shape {' × '.join(map(str, shape))}, but the page shows one photo "
                "at a time: export it with --batch 1"
            )
        if not (artifact.golden_folder / "expected.json").is_file():
            raise DemoError(
                f"{artifact.golden_folder} lacks the golden crops with which the page checks itself: export it again"
            )
    return artifacts


def _exported(folder: Path) -> list[Path]:
    """Files with a sidecar in a run, an export folder or one of its recipes; the detector's nets have no sidecar."""
    if folder.is_file():
        raise no_run(folder, "")
    if not folder.is_dir():
        raise DemoError(
            f"no file or folder {folder}: name a .tflite file, the folder of a run, or one that export wrote"
        )
    found = sorted(path for pattern in ("*", "*/*", "export/*/*") for path in folder.glob(f"{pattern}.tflite"))
    paths = [path for path in found if path.with_suffix(".json").is_file()]
    if not paths:
        raise DemoError(
            f"{folder} holds no exported file with its sidecar: keras-faceattr export RUN --recipe int8_qat makes one"
        )
    return paths


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names that differ: a repeated one gets a number."""
    unique: list[str] = []
    for name in names:
        choices = (name if number == 1 else f"{name} ({number})" for number in range(1, len(names) + 2))
        unique.append(next(choice for choice in choices if choice not in unique))
    return tuple(unique)


def detector_folder(spec: DetectorSpec, use: str, say: Say = lambda line: None) -> Path:
    """The detector's files for one use, in the cache; the first call builds them, which takes up to a minute.

    Raises:
        ArtifactError, ConfigError, DetectionError, RunError: see `convert.detector.export_detector`.
    """
    photo, windows = SHAPES[use]
    parts = (spec, photo, windows, keras_faceattr.__version__, detector_version())
    folder = cache_folder() / "demo" / "detectors" / hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    if not _is_whole_detector(folder):
        say(f"building the face detector for photos of {photo[1]} × {photo[0]} pixels, once")
        # One that is there is damaged.
        shutil.rmtree(folder, ignore_errors=True)
        with replacing_folder(folder, "detector.json") as temporary:
            export_detector(temporary, photo, spec, windows)
    return folder


def _is_whole_detector(folder: Path) -> bool:
    try:
        nets = json.loads((folder / "detector.json").read_text(encoding="utf-8"))["nets"].values()
        return all(sha256(folder / net["file"]) == net["sha256"] for net in nets)
    except (OSError, ValueError, KeyError):
        return False


def _page_files() -> dict[str, Path]:
    files = {url: path for url, path in _files_of(web_folder()).items() if not NO_PART_OF_THE_PAGE.search(url)}
    if "index.html" not in files:
        raise DemoError("the page of the demo is not installed: reinstall keras-faceattr")
    return files


def _artifact_files(artifact: Artifact) -> dict[str, Path]:
    """Files of an artifact under names that do not depend on its own."""
    golden = {name: path for name, path in _files_of(artifact.golden_folder).items() if GOLDEN.fullmatch(name)}
    for path in golden.values():
        # With a link, an artifact from elsewhere could publish any file of this machine.
        if path.is_symlink():
            raise DemoError(f"{path} is a symbolic link: replace it with the file itself")
    files = {"model.tflite": artifact.path, "sidecar.json": artifact.path.with_suffix(".json")}
    return files | {f"golden/{name}": path for name, path in golden.items()}


def _files_of(folder: Path) -> dict[str, Path]:
    """Files below a folder by their path in it."""
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def _copy(source: Path, target: Path) -> str:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
        return sha256(temporary)


def _earlier_files(folder: Path) -> set[str]:
    """Files of an earlier site in this folder.

    Raises:
        DemoError: the folder holds something else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return set()
    try:
        files = json.loads((folder / INDEX).read_text(encoding="utf-8"))["files"]
        inside = folder.resolve()
        return {str(url) for url in files if (folder / str(url)).resolve().is_relative_to(inside)}
    except (OSError, ValueError, KeyError, TypeError):
        raise DemoError(
            f"{folder} is neither empty nor an earlier site of the demo: choose another folder or empty this one"
        ) from None


def _index(
    site: Site, artifacts: Sequence[Artifact], shown: Sequence[list[str]], specs: Sequence[DetectorSpec], post: bool
) -> dict[str, object]:
    rows = []
    for number, (artifact, name, tasks) in enumerate(zip(artifacts, site.names, shown, strict=True)):
        place = f"data/artifacts/{number}/"
        rows.append(
            {
                "id": str(number),
                "name": name,
                "recipe": artifact.sidecar.recipe,
                "tasks": tasks,
                "model": f"{place}model.tflite",
                "sidecar": f"{place}sidecar.json",
                "golden": f"{place}golden/",
                "detector": str(specs.index(artifact.sidecar.crop_spec().detector())),
            }
        )
    return {
        "format": FORMAT,
        "kind": KIND,
        "version": site.version,
        "package": keras_faceattr.__version__,
        "litert": LITERT_VERSION,
        "post": post,
        "artifacts": rows,
        "detectors": {str(key): {use: f"data/detectors/{key}/{use}/" for use in SHAPES} for key in range(len(specs))},
        "files": list(site.files),
    }
