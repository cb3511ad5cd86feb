"""Results that a phone measured in the demo's page: untrusted input, kept in a folder."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, ValidationError, model_validator

from keras_faceattr.config import Section, Share
from keras_faceattr.errors import BenchmarkError
from keras_faceattr.measure.benchmark import slug
from keras_faceattr.run import Run
from keras_faceattr.storage import cache_folder, write_text

MAX_BYTES = 400_000
"""Largest posted result; the maximum number of rows with names of usual length takes half of it."""
MAX_RESULTS = 1000
"""In a folder; whoever has the page's address can post."""
FOLDER = "browser_results"
"""In a run, or in the cache."""
SHOWN = 60
"""Characters of a posted name in a title or an error."""

Origin = Literal["browser", "imported"]
"""A browser posted it, which anybody on the network can; or the user vouches for it by `benchmark --import`."""
SAVED_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}_(browser|imported)_[a-z0-9-]+_[0-9a-f]{12}\.json")
BROWSERS = (
    ("Edge", r"Edg(?:A|iOS)?/(\d+)"),
    ("Samsung Internet", r"SamsungBrowser/(\d+)"),
    ("Opera", r"OPR/(\d+)"),
    ("Firefox", r"(?:Firefox|FxiOS)/(\d+)"),
    ("Chrome", r"(?:Chrome|CriOS)/(\d+)"),
    ("Safari", r"Version/(\d+).* Safari/"),
)
"""Patterns of user agents, the most specific first: most browsers also claim to be Chrome and Safari."""
SYSTEMS = (
    # "Android 10; K" is what Chrome writes for every version on every phone.
    ("Android", r"Android (\d+)(?![\d.]*; K\))"),
    ("Android", r"Android()"),
    ("iOS", r"(?:iPhone|CPU) OS (\d+)_"),
    ("Windows", r"Windows NT()"),
    ("macOS", r"Mac OS X()"),
    ("ChromeOS", r"CrOS()"),
    ("Linux", r"Linux()"),
)
PHONE_MODEL = re.compile(r"Android [\d.]+; (?!(?:K|Mobile|Tablet)[;)])([^;()]+?)(?: Build/[^;)]*)?[;)]")


def _printable(text: str) -> str:
    """Without what could move a terminal's cursor or turn its direction of writing."""
    return "".join(sign if sign.isprintable() else " " for sign in text).strip()


def _this_century(date: datetime) -> datetime:
    if not 2020 <= date.year < 2100:
        raise ValueError("must lie between 2020 and 2100")
    return date.astimezone(UTC)


Text = Annotated[str, Field(max_length=300), AfterValidator(_printable)]
Milliseconds = Annotated[float, Field(gt=0, le=1e6)]


def _first(table: tuple[tuple[str, str], ...], user_agent: str) -> str | None:
    """Name and version of the first row that a user agent matches."""
    found = ((name, re.search(pattern, user_agent)) for name, pattern in table)
    return next((f"{name} {match[1]}".strip() for name, match in found if match), None)


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


class Posted(BaseModel):
    """A part of a result, which is read strictly, as no section of a configuration is: that is written by people."""

    model_config = Section.model_config


class Battery(Posted):
    """State of the battery; `level` is a share."""

    level: Share
    charging: bool


class BrowserDevice(Posted):
    """The browser's description of the device; what it does not tell is null or left out.

    Attributes:
        memory_gb: as the browser rounds it.
        isolated: whether the page was cross-origin isolated, without which there are no threads.
    """

    user_agent: Text
    model: Text | None = None
    platform: Text | None = None
    cores: Annotated[int, Field(ge=1, le=1024)] | None = None
    memory_gb: Annotated[float, Field(gt=0, le=4096)] | None = None
    isolated: bool
    battery: Battery | None = None
    screen: Text | None = None

    @property
    def model_name(self) -> str | None:
        """Model of the phone, from the browser or else from its user agent."""
        found = PHONE_MODEL.search(self.user_agent)
        return self.model or (found[1] if found else None)

    @property
    def system(self) -> str | None:
        """Such as `Android 16`."""
        return self.platform or _first(SYSTEMS, self.user_agent)

    @property
    def title(self) -> str:
        """Such as `Chrome 141, Android 16, Pixel 9, 8 cores`."""
        browser = _first(BROWSERS, self.user_agent) or "unknown browser"
        cores = f"{self.cores} core{'s' * (self.cores > 1)}" if self.cores else None
        return ", ".join(_shortened(part) for part in (browser, self.system, self.model_name, cores) if part)


class Runtime(Posted):
    """The runtime that ran the files."""

    name: Text
    version: Text
    build: Literal["threaded", "single", "compat"]


class Times(Posted):
    """Times of one part of the work.

    Attributes:
        p90_ms: of single calls; None where the browser's clock is too coarse to time one.
        low_ms: lower end of the 95 % interval of the median.
        high_ms: its upper end.
        busy: whether something else ran meanwhile.
    """

    p50_ms: Milliseconds
    p90_ms: Milliseconds | None
    low_ms: Milliseconds
    high_ms: Milliseconds
    runs: Annotated[int, Field(ge=5, le=1_000_000)]
    busy: bool

    @model_validator(mode="after")
    def _in_order(self) -> Times:
        if self.p90_ms is not None and self.p90_ms < self.p50_ms:
            raise ValueError("p90_ms lies below p50_ms")
        if not self.low_ms <= self.p50_ms <= self.high_ms:
            raise ValueError("p50_ms lies outside low_ms to high_ms")
        return self


class Parts(Posted):
    """Times of the model alone, of what comes before it, and of all together; null where it was not measured."""

    model: Times
    detection: Times | None = None
    crop: Times | None = None
    end_to_end: Times | None = None


class BrowserMeasurement(Posted):
    """A file on a number of threads; `verified`: the page reproduced the file's golden crops."""

    file: Text
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    recipe: Text
    threads: Annotated[int, Field(ge=1, le=256)]
    verified: bool
    photo: Text
    parts: Parts


class BrowserResult(Posted):
    """Result as the page posts it; `package` is the version that served the page.

    The p90 of format 1 is one of means over several calls, which is no p90 of a call.
    """

    format: Literal[1, 2]
    kind: Literal["browser"]
    date: Annotated[AwareDatetime, AfterValidator(_this_century)]
    package: Text
    device: BrowserDevice
    runtime: Runtime
    rows: Annotated[tuple[BrowserMeasurement, ...], Field(min_length=1, max_length=200)]


def read_result(body: bytes, name: str) -> BrowserResult:
    """Read a result that a page posted or saved.

    Args:
        name: name of the body in errors.

    Raises:
        BenchmarkError: too large, no JSON, or not a result of a known format; the first wrong key is named.
    """
    if len(body) > MAX_BYTES:
        raise BenchmarkError(f"{_printable(name)}: larger than {MAX_BYTES // 1000} kB: no result of the demo's page")
    try:
        return BrowserResult.model_validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(_shortened(_printable(str(part))) for part in first["loc"])
    what = first["msg"].removeprefix("Value error, ")
    raise BenchmarkError(
        f"{_printable(name)}: no result of the demo's page: {where + ': ' if where else ''}{what[:1].lower()}{what[1:]}"
    )


def read_bytes(path: Path) -> bytes:
    """A downloaded or saved result, no more of it than tells that it is too large.

    Raises:
        BenchmarkError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise BenchmarkError(f"{path}: cannot be read: {error.strerror}") from None


def save_result(body: bytes, folder: Path, origin: Origin = "browser") -> Path:
    """Write a result, whole or not at all, under a name that says when, on what, and who put it there.

    The same result from the same origin is one file.

    Raises:
        BenchmarkError: no result, or the folder is full.
        RunError: the folder cannot be written.
    """
    result = read_result(body, "the posted result")
    text = result.model_dump_json(indent=1) + "\n"
    # Spaces and longer numbers may have made it too large to be read again.
    read_result(text.encode(), "the posted result")
    device, when = result.device, result.date.strftime("%Y-%m-%dT%H%M%S")
    on_what = slug(device.model_name or "") or slug(device.system or "") or "unknown"
    path = folder / f"{when}_{origin}_{on_what}_{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    if not path.is_file() and len(saved_results(folder)) >= MAX_RESULTS:
        raise BenchmarkError(f"{folder} holds {MAX_RESULTS} browser results: move some of them away")
    write_text(path, text)
    return path


def saved_results(folder: Path) -> list[Path]:
    """Files of a folder that are named as `save_result` names them; none where there is no folder."""
    return sorted(path for path in folder.glob("*.json") if SAVED_NAME.fullmatch(path.name))


def is_imported(path: Path) -> bool:
    """Return whether the user imported a saved result; a posted one may be anybody's word."""
    return path.name.split("_")[1] == "imported"


def results_folder(models: Sequence[Path]) -> Path:
    """Folder for results of these files: in their run, if it is the same for all, else in the cache."""
    runs = {_run_of(path) for path in models}
    run = runs.pop() if len(runs) == 1 else None
    return run / FOLDER if run and os.access(run, os.W_OK) else cached_results_folder()


def result_folders(models: Sequence[Path]) -> list[Path]:
    """Every folder in which `results_folder` may have put results of one of these files."""
    runs = dict.fromkeys(run for run in map(_run_of, models) if run)
    return [*(run / FOLDER for run in runs), cached_results_folder()]


def cached_results_folder() -> Path:
    """Folder for results of files of no run, or of several."""
    return cache_folder() / FOLDER


def _run_of(model: Path) -> Path | None:
    """The run that a file was exported from, if it still lies in that run's folder."""
    parents = list(model.resolve().parents)[:3]
    return next((one for one in parents if Run(one).config_path.is_file() and Run(one).tasks_path.is_file()), None)
