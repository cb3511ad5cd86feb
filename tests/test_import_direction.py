"""Imports point one way, from the command line down to the words that every part speaks."""

import ast
from pathlib import Path

import pytest
from small import frameworks_after

import keras_faceattr

PACKAGE = Path(keras_faceattr.__file__).parent

LAYERS: list[set[str]] = [
    # Every room that runs a file has its graph checked first.
    {
        "errors",
        "storage",
        "backend",
        "cache",
        "machine",
        "pages",
        "plot_text",
        "processes",
        "failures",
        "yaml_files",
        "artifact.flatbuffer",
        "artifact.soundness",
    },
    {"tasks", "readings", "crop_fields", "config"},
    {"zoo"},
    {"measured"},
    {"config_files", "run", "configs", "shipped"},
    {"faces", "losses", "metrics"},
    {"data"},
    # A quantized model is loaded as any other.
    {"methods", "models", "quantization.layers", "layers", "callbacks"},
    {"evaluation", "alignment"},
    # An exported file may be a teacher.
    {"artifact"},
    {"training"},
    {"calibration", "explain", "features", "tabular", "quantization"},
    {"budget"},
    {"convert", "measure"},
    {"net", "predictions"},
    {"terminal"},
    {"api"},
    {"http"},
    {"demo", "mobile_demo"},
    # A process of its own, which nothing imports.
    {"service", "quantization.tfmot_child"},
    {"cli", "__main__"},
]
"""What a module imports lies in its own layer or an earlier one."""


CHILD_PROCESS = "quantization.tfmot_child"
"""The one module that may import legacy Keras."""


def layer_of(module: str) -> int:
    """Number of the layer that names the longest prefix of a module."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        for number, names in enumerate(LAYERS):
            if prefix in names:
                return number
    raise AssertionError(f"{module} stands in no layer")


def imported_modules(path: Path) -> set[str]:
    """Modules of the package that a file imports at any depth, without the package's name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("keras_faceattr."):
            found.add(node.module.removeprefix("keras_faceattr."))
        elif isinstance(node, ast.Import):
            found |= {
                a.name.removeprefix("keras_faceattr.") for a in node.names if a.name.startswith("keras_faceattr.")
            }
    return found


def module_files() -> list[Path]:
    """Every module of the package but its own root."""
    return sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def module_name(path: Path) -> str:
    """Dotted name below the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", module_files(), ids=module_name)
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    own = layer_of(module_name(path))
    upward = [name for name in imported_modules(path) if layer_of(name) > own]
    assert not upward, f"{module_name(path)} imports upward: {upward}"


def test_no_module_imports_legacy_keras_or_its_model_optimization() -> None:
    for path in module_files():
        names = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        allowed = {"tf_keras", "tensorflow_model_optimization"} if module_name(path) == CHILD_PROCESS else set()
        assert not names & {"tf_keras", "tensorflow_model_optimization", "tensorflow_addons"} - allowed, path


def test_help_and_reading_data_import_neither_tensorflow_nor_keras() -> None:
    assert frameworks_after("import keras_faceattr.cli.app, keras_faceattr.cli.inspect") == "[]"


@pytest.mark.parametrize("room", ["artifact", "measure", "faces"])
def test_a_room_that_runs_files_loads_without_tensorflow_and_keras(room: str) -> None:
    modules = [f"keras_faceattr.{module_name(path)}" for path in module_files() if path.is_relative_to(PACKAGE / room)]
    assert frameworks_after(f"import {', '.join(modules)}") == "[]"


def test_no_module_is_a_drawer_for_leftovers() -> None:
    assert not [p for p in module_files() if p.stem in ("utils", "helpers", "common", "misc")]
