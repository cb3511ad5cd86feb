"""Sections of data from YAML, found by name or path, changed by `--set`, with errors that people can mend."""

from __future__ import annotations

import os
import re
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from keras_faceattr.config import DataConfig, Experiment, Section, TaskConfig, annotations_in
from keras_faceattr.errors import ConfigError, nearest, shortened, shown
from keras_faceattr.yaml_files import MOST_DEPTH, parse_yaml, read_yaml
from keras_faceattr.zoo import shipped_names, shipped_net

AnySection = TypeVar("AnySection", bound=Section)

EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")
"""YAML 1.1 reads 1e-4 as text; people mean the number."""

CONFIG_FOLDER = Path(str(resources.files("keras_faceattr.configs")))


def load_experiment(
    config: str, overrides: list[str] | None = None, data_paths: dict[str, str] | None = None
) -> Experiment:
    """Resolves a configuration.

    Args:
        config: name of a shipped config, or path of a YAML file.
        overrides: `key.key=value`, the value read as YAML; entries of lists by number.
        data_paths: path of each reader's data, by the reader's name.

    Raises:
        ConfigError: no such config, not YAML, an unknown key (with the nearest valid one), or a wrong value.
    """
    return with_paths(load_section(Experiment, CONFIG_FOLDER, config, "config", overrides), data_paths or {})


def parse_experiment(data: Any, where: str) -> Experiment:
    """Validates plain data; `where` stands in the error's line."""
    return parse_section(Experiment, data, where)


def load_section(
    kind: type[AnySection], folder: Path, name: str, what: str, overrides: list[str] | None = None
) -> AnySection:
    """Reads and validates a YAML file.

    Args:
        kind: what it holds.
        folder: of the shipped files.
        name: of a shipped file, or path of one.
        what: the word for it in errors.
        overrides: `key.key=value`.

    Raises:
        ConfigError: no such file, not YAML, an unknown key (with the nearest valid one), or a wrong value.
    """
    data = _read_yaml(_find(name, folder, what))
    apply_overrides(data, overrides or [])
    return parse_section(kind, data, name)


def apply_overrides(data: dict[str, Any], overrides: list[str]) -> None:
    """Changes plain data by `key.key=value`.

    Raises:
        ConfigError: no such place, or the value is not YAML.
    """
    for override in overrides:
        _apply(data, override)


def parse_section(kind: type[AnySection], data: Any, where: str) -> AnySection:
    """Validates plain data; `where` stands in the error's line."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: a config is a mapping of keys, not {type(data).__name__}")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_first_line(error, kind)}") from None


def with_first_plan(data: dict[str, Any]) -> dict[str, Any]:
    """Plain data of a resolved config; its splits that name no plan were drawn by plan 1, before there were others."""
    section = data.get("data")
    if not isinstance(section, dict):
        return data
    section = dict(section, split=_planned(section.get("split") or {}))
    if isinstance(section.get("sources"), list):
        section["sources"] = [
            dict(source, split=_planned(source["split"]))
            if isinstance(source, dict) and source.get("split")
            else source
            for source in section["sources"]
        ]
    return dict(data, data=section)


def _planned(split: Any) -> Any:
    return {"plan": 1, **split} if isinstance(split, dict) else split


def with_paths(experiment: Experiment, paths: dict[str, str]) -> Experiment:
    """The experiment with its sources' paths replaced, by name or reader (and `teacher`), and every path made absolute.

    A run's configuration must hold wherever it is read again.

    Raises:
        ConfigError: a path for a reader that the experiment does not use.
    """
    teacher, others = paths.get("teacher"), {name: path for name, path in paths.items() if name != "teacher"}
    if teacher and not any(task.teacher for task in experiment.tasks.values()):
        raise ConfigError(
            "--data teacher: no task of this config has a teacher; that of a training is --set training.teacher=PATH"
        )
    data = data_with_paths(experiment.data, others)
    init_from = experiment.model.init_from
    starts = (
        {p: _net(q) for p, q in init_from.items()} if isinstance(init_from, dict) else init_from and _net(init_from)
    )
    file = experiment.model.file
    name = _absolute(file) if file else experiment.model.name
    model = experiment.model.model_copy(update={"name": name, "init_from": starts})
    tasks = {name: _with_teacher(task, teacher) for name, task in experiment.tasks.items()}
    given = experiment.training.teacher
    taught_by = [_net(path) for path in given] if isinstance(given, list) else given and _net(given)
    training = experiment.training.model_copy(update={"teacher": taught_by})
    return experiment.model_copy(update={"data": data, "model": model, "tasks": tasks, "training": training})


def _net(name: str) -> str:
    """Where a net lies that a training starts or learns from: a path, or the run of one that comes with the package."""
    shipped = name in shipped_names() and not Path(name).exists()
    return str(shipped_net(name).folder if shipped else _absolute(name))


def data_with_paths(data: DataConfig, paths: dict[str, str]) -> DataConfig:
    """The data with its sources' paths replaced, by a source's name or else its reader, and made absolute.

    Raises:
        ConfigError: a path for a reader that is not used.
    """
    known = [source.name or source.reader for source in data.sources]
    for name in paths:
        if name not in known:
            raise ConfigError(f"--data {name}: this config has no such source; {nearest(name, known)}")
    sources = [
        s.model_copy(
            update={"path": _absolute(paths.get(s.name or s.reader, s.path)), "exclude": _list_path(s.exclude)}
        )
        for s in data.sources
    ]
    return data.model_copy(update={"sources": sources})


def _with_teacher(task: TaskConfig, given: str | None) -> TaskConfig:
    if task.teacher is None:
        return task
    path = str(_absolute(given or task.teacher.path))
    return task.model_copy(update={"teacher": task.teacher.model_copy(update={"path": path})})


def _list_path(exclude: str | None) -> str | None:
    """A list's path made absolute; a pattern stays as it is."""
    return _absolute(exclude) if exclude and Path(exclude).expanduser().is_file() else exclude


def _absolute(path: str | None) -> str | None:
    return str(Path(path).expanduser().absolute()) if path else None


def experiment_kind(config: str) -> str:
    """What a configuration is about: `photos`, or whatever its key `kind` says.

    Args:
        config: name of a shipped config, or path of a YAML file.

    Raises:
        ConfigError: no such config, or not YAML.
    """
    return str(_read_yaml(_find(config, CONFIG_FOLDER, "config")).get("kind", "photos"))


def config_names() -> list[str]:
    """List the names of the shipped configs, which `fit` takes."""
    return names_in(CONFIG_FOLDER)


def names_in(folder: Path) -> list[str]:
    """Names of the YAML files that a folder ships."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def _find(name: str, folder: Path, what: str) -> Path:
    shipped = folder / f"{name}.yaml"
    if "/" not in name and shipped.is_file():
        return shipped
    # As `Path.is_file`, but false of a name that no file system takes.
    if os.path.isfile(name):
        return Path(name)
    raise ConfigError(
        f"no {what} {shown(name)}: neither a file nor one that is shipped; {nearest(name, names_in(folder))}"
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = read_yaml(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a config is a mapping of keys")
    return data


def _apply(data: dict[str, Any], override: str) -> None:
    where = f"--set {shown(override)}"
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"{where}: write key.key=value")
    try:
        value = parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"{where}: the value is not YAML: {error}") from None
    # Text in quotes of its own stays text.
    if value == text.strip() and EXPONENT.fullmatch(value):
        value = float(value)
    node: Any = data
    parts = key.split(".")
    if len(parts) > MOST_DEPTH:
        raise ConfigError(f"{where}: no config is {len(parts)} levels deep")
    for i, part in enumerate(parts[:-1]):
        if isinstance(node, list):
            if not _is_number(part) or int(part) >= len(node):
                raise ConfigError(f"{where}: {'.'.join(parts[:i])} has entries 0 to {len(node) - 1}")
            node = node[int(part)]
        else:
            if node.get(part) is None:
                node[part] = {}
            node = node[part]
        if not isinstance(node, dict | list):
            raise ConfigError(f"{where}: {'.'.join(parts[: i + 1])} is a value, not a section")
    if isinstance(node, list):
        if not _is_number(parts[-1]) or int(parts[-1]) >= len(node):
            raise ConfigError(f"{where}: {'.'.join(parts[:-1])} has entries 0 to {len(node) - 1}")
        node[int(parts[-1])] = value
    elif value is None and parts[:-1] == ["tasks"] and parts[-1] not in node:
        raise ConfigError(f"{where}: there is no such task to leave out; {nearest(parts[-1], node)}")
    else:
        node[parts[-1]] = value


def _is_number(text: str) -> bool:
    """Whether `int` takes it; `str.isdigit` also holds for ² and the like."""
    return text.isascii() and text.isdigit()


def _first_line(error: ValidationError, kind: type[Section]) -> str:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    key = shortened(".".join(location))
    if first["type"] == "extra_forbidden":
        valid = _keys_of(location[:-1], kind)
        return f"unknown key {key!r}; {nearest(location[-1], valid)}" if valid else f"unknown key {key!r}"
    if first["type"] == "missing":
        return f"missing key {key!r}"
    message = first["msg"].removeprefix("Value error, ")
    # A rule between keys is told the whole section, which its message has no need of.
    given = first.get("input")
    value = "" if given and isinstance(given, dict) else f" = {shown(given)}"
    if first["type"] == "string_type" and isinstance(given, bool | int | float):
        message += "; text that looks like something else needs quotes of its own"
    return f"{key or 'config'}{value}: {message[:1].lower()}{message[1:]}"


def _keys_of(location: list[str], kind: type[Section]) -> list[str]:
    """Valid keys of the section at a location."""
    section: Any = kind
    for part in location:
        # A number in a list or a name in a mapping is no field: the section stays that of its entries.
        known = section.model_fields.get(part)
        nested = [a for a in annotations_in(known.annotation) if _is_section(a)] if known else []
        if nested:
            section = nested[0]
    return list(section.model_fields)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)
