"""A group that runs its hidden command where none is named."""

from __future__ import annotations

import re
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from keras_faceattr.cli.default_command import ModelsByDefault


@pytest.fixture
def app() -> typer.Typer:
    """`keras-faceattr` with the two ways of `benchmark`, which say what they were given."""
    root = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]})
    group = typer.Typer(cls=ModelsByDefault, no_args_is_help=True, help="Measure speed.")
    root.add_typer(group, name="benchmark")

    @root.callback()
    def callback() -> None:
        pass

    @group.command("models", hidden=True)
    def models(
        models: Annotated[list[str], typer.Argument(metavar="MODEL")],
        against: list[str] = [],  # noqa: B006
        json: bool = False,
    ) -> None:
        """Compare files with reference nets."""
        print("models", models, against, json)

    @group.command("pipeline")
    def pipeline(config: str | None = None, steps: int = 40) -> None:
        """Compare the parts of a training step."""
        print("pipeline", config, steps)

    return root


def run(app: typer.Typer, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["benchmark", *arguments], prog_name="keras-faceattr")
    return done.exit_code, re.sub(r"\x1b\[[0-9;]*m", "", done.output)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.tflite"], "models ['a.tflite'] [] False"),
        (["a.tflite", "b.tflite", "--json"], "models ['a.tflite', 'b.tflite'] [] True"),
        (["--json", "a.tflite"], "models ['a.tflite'] [] True"),
        (["--against", "x", "a.tflite", "--against", "y,z"], "models ['a.tflite'] ['x', 'y,z'] False"),
        (["a.tflite", "pipeline"], "models ['a.tflite', 'pipeline'] [] False"),
        (["./pipeline"], "models ['./pipeline'] [] False"),
        (["models", "a.tflite"], "models ['a.tflite'] [] False"),
        (["pipeline"], "pipeline None 40"),
        (["pipeline", "--steps", "7"], "pipeline None 7"),
    ],
)
def test_what_names_no_command_goes_to_models(app: typer.Typer, arguments: list[str], said: str) -> None:
    assert run(app, *arguments) == (0, said + "\n")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_the_help_shows_both_usages(app: typer.Typer, option: str) -> None:
    code, text = run(app, option)
    assert code == 0
    usages = [line.strip() for line in text.splitlines() if "Usage:" in line]
    assert len(usages) == 2
    assert all(usage.startswith("Usage: keras-faceattr benchmark [OPTIONS] ") for usage in usages)
    assert "MODEL" in usages[0] and "COMMAND [ARGS]..." in usages[1]
    for word in ("Compare files with reference nets.", "--against", "pipeline", "Compare the parts"):
        assert word in text


def test_without_arguments_it_shows_the_help_and_each_command_keeps_its_own(app: typer.Typer) -> None:
    assert "pipeline" in run(app)[1] and "--against" in run(app)[1]
    code, text = run(app, "pipeline", "--help")
    assert code == 0 and "--steps" in text and "--against" not in text
    code, text = run(app, "a.tflite", "--help")
    assert code == 0 and "--against" in text and "--steps" not in text


def test_an_unknown_option_is_refused(app: typer.Typer) -> None:
    code, text = run(app, "a.tflite", "--agianst", "x")
    assert code == 2
    assert "--agianst" in text and "--against" in text
