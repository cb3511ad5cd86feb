"""The reference pages name every key, method, option and reader, with the defaults that the code has."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from keras_faceattr import config
from keras_faceattr.budget import limits as budget
from keras_faceattr.budget.tolerance import Tolerance
from keras_faceattr.config import Section
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data import splits
from keras_faceattr.data.datasets import READERS
from keras_faceattr.features.experiment import FeatureConfig, FeatureExperiment
from keras_faceattr.features.regressors import FEATURE_REGRESSORS
from keras_faceattr.methods import DEFAULTS, METHODS
from keras_faceattr.models import MODELS
from keras_faceattr.tabular import experiment as table
from keras_faceattr.tasks import TASK_KINDS

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {name: (DOCS / name).read_text(encoding="utf-8") for name in ("config.md", "data.md")}

ROOTS: list[type[Section]] = [config.Experiment, FeatureExperiment, table.TableExperiment, budget.Budget]

SECTIONS: list[tuple[str, str, type[Section]]] = [
    ("The whole", "", config.PhotoExperiment),
    ("The whole", "", config.Experiment),
    ("`data`", "", config.DataConfig),
    ("`data.sources.N`", "", config.SourceConfig),
    ("`data.split`", "", config.SplitConfig),
    ("`data.crop`", "", config.CropConfig),
    ("`data.augmentation`", "", config.AugmentationConfig),
    ("`tasks.NAME`", "", config.TaskConfig),
    ("`tasks.NAME.teacher`", "", config.TeacherConfig),
    ("Settings of methods", "", config.MethodSettings),
    ("`model`", "", config.ModelConfig),
    ("`training`", "", config.TrainingConfig),
    ("`training.distillation`", "", config.DistillationConfig),
    ("`training.distillation.features.N`", "", config.FeatureMatchConfig),
    ("`training.optimizer`", "", config.OptimizerConfig),
    ("`training.schedule`", "", config.ScheduleConfig),
    ("`evaluation`", "", config.EvaluationConfig),
    ("`kind: features`", "", FeatureExperiment),
    ("`features`", "", FeatureConfig),
    ("`kind: table`", "", table.TableExperiment),
    ("`table`", "", table.TableSource),
    ("`model` of a table", "", table.MtbDnnConfig),
    ("`training` of a table", "", table.TableTraining),
    ("`splits` of a table", "", table.RepeatedSplits),
    ("Recipes and budgets of an export", "", budget.Budget),
    ("Recipes and budgets of an export", "file.", budget.FileLimits),
    ("Recipes and budgets of an export", "drop.METRIC.", Tolerance),
    ("Recipes and budgets of an export", "speed_up.NET.", budget.SpeedUp),
    ("Recipes and budgets of an export", "latency.CLASS.", budget.LatencyLimit),
]
"""Heading of the table that holds a section's keys, what stands before each key there, and the section."""


def rows(heading: str, page: str = "config.md") -> dict[str, list[str]]:
    """The other cells of the tables below a heading, by the name in backticks that a row begins with."""
    (body,) = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", PAGES[page], re.DOTALL | re.MULTILINE)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines() if line[:3] == "| `"]
    return {first.split("`")[1]: others for first, *others in cells}


def own_keys(section: type[Section]) -> list[str]:
    """Keys of a section, without those of a base that has a table of its own."""
    bases = [base for *_, base in SECTIONS if base is not section and issubclass(section, base)]
    return [key for key in section.model_fields if not any(key in base.model_fields for base in bases)]


def sections_below(section: type[Section]) -> Iterator[type[Section]]:
    yield section
    for field in section.model_fields.values():
        for inner in nested(field.annotation):
            yield from sections_below(inner)


def nested(annotation: Any) -> list[type[Section]]:
    """Sections that an annotation names, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for inner in typing.get_args(annotation) for section in nested(inner)]


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def ids(section: tuple[str, str, type[Section]]) -> str:
    return section[2].__name__


def test_every_section_that_a_config_can_hold_has_a_table() -> None:
    found = {section for root in ROOTS for section in sections_below(root)}
    assert found <= {section for *_, section in SECTIONS}
    assert len(found) > 20


@pytest.mark.parametrize("heading", sorted({heading for heading, *_ in SECTIONS}))
def test_a_table_holds_every_key_of_its_sections_and_no_other(heading: str) -> None:
    documented = set(rows(heading))
    keys = {prefix + key for title, prefix, section in SECTIONS if title == heading for key in own_keys(section)}
    # A key whose own keys stand in the same table needs no row.
    spread = {key for key in keys if any(other.startswith(f"{key}.") for other in keys)}
    assert documented == keys - spread


@pytest.mark.parametrize(("heading", "prefix", "section"), SECTIONS, ids=map(ids, SECTIONS))
def test_a_table_tells_the_defaults_of_the_code(heading: str, prefix: str, section: type[Section]) -> None:
    documented = rows(heading)
    for key in own_keys(section):
        if prefix + key not in documented:
            continue
        cell, field = documented[prefix + key][0], section.model_fields[key]
        default = field.get_default(call_default_factory=True) if not field.is_required() else None
        if field.is_required():
            assert cell == "needed", key
        elif isinstance(default, Section):
            assert cell.startswith("[its own](#"), key
        else:
            assert re.fullmatch("`.+`", cell), key
            assert yaml.safe_load(cell.strip("`")) == plain(default), key


def test_every_method_has_a_row_with_its_kinds() -> None:
    usual = {method: kind for kind, method in DEFAULTS.items()}
    expected = {
        name: ", ".join(method.kinds) + (", usual" if name in usual else "") for name, method in METHODS.items()
    }
    assert {name: cells[0] for name, cells in rows("Methods").items()} == expected


def test_a_setting_names_the_methods_that_look_at_it() -> None:
    for key, cells in rows("Settings of methods").items():
        assert re.findall("`(.+?)`", cells[1]) == [name for name, row in METHODS.items() if key in row.settings], key


def test_every_kind_of_task_has_a_row_with_its_keys_and_those_that_it_needs() -> None:
    documented = {kind: re.findall(r"`(\w+)`(\\\*)?", cells[-1]) for kind, cells in rows("Tasks").items()}
    # A teacher stands for the dimension of its vectors.
    assert documented.pop("embedding") == [("teacher", r"\*")]
    # Stated once, below the table.
    shared = set.intersection(*({f.name for f in dataclasses.fields(kind)} for kind in TASK_KINDS.values()))
    assert shared & config.TaskConfig.model_fields.keys() == {"sensitive"}
    own = config.TaskConfig.model_fields.keys() - shared
    expected = {}
    for kind in TASK_KINDS.keys() - {"embedding"}:
        fields = [f for f in dataclasses.fields(TASK_KINDS[kind]) if f.name in own]
        needed = [f.default is f.default_factory is dataclasses.MISSING for f in fields]
        expected[kind] = [(f.name, r"\*" if n else "") for f, n in zip(fields, needed, strict=True)]
    assert documented == expected


def test_every_option_of_a_net_has_a_row_with_its_default_and_its_nets() -> None:
    found: dict[str, tuple[Any, set[str]]] = {}
    for name, net in MODELS.items():
        for option in net.free_options():
            default = plain(inspect.signature(net.net).parameters[option].default)
            assert found.setdefault(option, (default, set()))[0] == default
            found[option][1].add(name)
    documented = {
        option: (yaml.safe_load(cells[0].strip("`")), set(re.findall("`(.+?)`", cells[1])))
        for option, cells in rows("Options of nets").items()
    }
    assert documented == found


def test_every_regressor_is_named() -> None:
    assert set(re.findall("`(.+?)`", rows("`kind: features`")["regressors"][1])) == set(FEATURE_REGRESSORS)


def test_options_of_made_up_records_are_named_with_their_defaults() -> None:
    (text,) = rows("`table`")["options"][1:]
    for key, field in table.RecordOptions.model_fields.items():
        assert f"`{key}` ({field.default}" in text


def test_every_reader_has_a_row_with_its_folder_and_licence() -> None:
    documented = rows("Readers", "data.md")
    assert set(documented) == set(READERS)
    for name, reader in READERS.items():
        folder, *_, licence = documented[name]
        module = importlib.import_module(f"keras_faceattr.data.datasets.{name}")
        assert (folder.strip("`"), licence) == (reader.folder, module.LICENCE), name


def test_options_of_drawn_faces_are_named_with_their_defaults() -> None:
    read = importlib.import_module("keras_faceattr.data.datasets.synthetic").read
    defaults = {name: parameter.default for name, parameter in inspect.signature(read).parameters.items()}
    documented = {key: yaml.safe_load(cells[0].strip("`")) for key, cells in rows("Drawn faces", "data.md").items()}
    assert documented == defaults


def test_every_way_to_split_has_a_row() -> None:
    assert set(rows("Splits", "data.md")) == set(splits.METHODS)


@pytest.mark.parametrize("page", PAGES)
def test_every_example_is_a_valid_config(page: str) -> None:
    examples = re.findall(r"^```yaml\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE)
    assert examples
    for example in examples:
        whole = {"name": "example", "data": {"sources": [{"reader": "csv_file"}]}, "tasks": {"age": {}}}
        parse_experiment(whole | yaml.safe_load(example), page)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_page_and_a_heading(page: str) -> None:
    for target, _, heading in (link.partition("#") for link in re.findall(r"\]\(([^)]+)\)", PAGES[page])):
        path = DOCS / (target or page)
        assert path.is_file(), target
        titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not heading or heading in anchors, f"{target}#{heading}"
