"""Classes of devices that budgets and results speak of, as data in `export/devices`."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from keras_faceattr.config import Section
from keras_faceattr.errors import BenchmarkError, ConfigError, nearest
from keras_faceattr.yaml_files import read_yaml

DEVICE_FOLDER = Path(str(resources.files("keras_faceattr.shipped"))) / "devices"
HOST = "host"
"""The class of whatever computer runs the command."""
BOARD_MODEL = Path("/proc/device-tree/model")
"""File in which Linux names its board."""


class Matches(Section):
    """Rules that recognise a connected device; upper and lower case are the same.

    Attributes:
        models: whole model names, as `ro.product.model` gives them.
        socs: beginnings of chip names: makers append letters for the speed grade.
        boards: whole words that the name of a host's board begins with: makers append the revision.
    """

    models: tuple[str, ...] = ()
    socs: tuple[str, ...] = ()
    boards: tuple[str, ...] = ()


class DeviceClass(Section):
    """Devices whose times belong together.

    Attributes:
        kind: `host` is measured by the computer itself, `android` through adb.
    """

    name: str
    title: str
    kind: Literal["host", "android"]
    matches: Matches = Matches()
    note: str = ""


@cache
def device_classes() -> dict[str, DeviceClass]:
    """The shipped classes by name.

    Raises:
        ConfigError: a file that is no device class.
    """
    return {path.stem: read_device_class(path) for path in sorted(DEVICE_FOLDER.glob("*.yaml"))}


def device_class(name: str) -> DeviceClass:
    """The class of a name.

    Raises:
        ConfigError: no such class; the nearest and all of them are named.
    """
    classes = device_classes()
    if name not in classes:
        raise ConfigError(f"no device class {name!r}; {nearest(name, classes)}")
    return classes[name]


def class_of(model: str, soc: str) -> str | None:
    """Name of the class of a phone, by its model, else by its chip; None when it is of none."""
    return model_class(model) or next(
        (phone.name for phone in _phones() if soc.lower().startswith(tuple(map(str.lower, phone.matches.socs)))),
        None,
    )


def model_class(model: str) -> str | None:
    """Name of the class that lists a whole model name, such as `Pixel 4`; None when none does."""
    return next((phone.name for phone in _phones() if model.lower() in map(str.lower, phone.matches.models)), None)


def board_name(path: Path | None = None) -> str:
    """Name of the board that this computer is, such as `Raspberry Pi 5 Model B Rev 1.0`; empty where none is told.

    Args:
        path: None for that of the system.
    """
    try:
        return (path or BOARD_MODEL).read_bytes().rstrip(b"\0").decode("utf-8", "replace").strip()
    except OSError:
        return ""


def host_classes(board: str) -> frozenset[str]:
    """Names of the classes of a computer: `host`, and those that recognise its board."""
    hosts = [c for c in device_classes().values() if c.kind == "host"]
    words = f"{board} ".lower()
    return frozenset(
        c.name for c in hosts if c.name == HOST or words.startswith(tuple(f"{b} ".lower() for b in c.matches.boards))
    )


def check_host(name: str, board: str) -> None:
    """Refuse to measure a computer as one of another class.

    Raises:
        BenchmarkError: the computer is none of this class.
    """
    if name not in host_classes(board):
        told = f"the system names its board {board!r}" if board else f"no board is named in {BOARD_MODEL}"
        raise BenchmarkError(
            f"--device {name}: this computer is no {device_class(name).title} ({told}); run the command on one, or "
            f"measure this computer with --device {HOST}"
        )


def _phones() -> list[DeviceClass]:
    return [c for c in device_classes().values() if c.kind == "android"]


def read_device_class(path: Path) -> DeviceClass:
    """One file.

    Raises:
        ConfigError: not YAML, a wrong key or value, or a name other than the file's.
    """
    try:
        found = DeviceClass.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {key or 'device class'}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from None
    if found.name != path.stem:
        raise ConfigError(f"{path}: name = {found.name!r}: must be the file's name, {path.stem!r}")
    return found
