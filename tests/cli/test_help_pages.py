"""Help pages, misspelt words, and the commands that come next."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.cli.app import app
from keras_faceattr.cli.arguments import listed

from .conftest import Cli


def sections(text: str) -> dict[str, str]:
    """Text of a help page by heading; the usage is no heading."""
    parts = re.split(r"^(\S[^\n]*):\n", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_options_for_phones_and_for_browsers_have_panels_of_their_own(cli: Cli) -> None:
    found = sections(cli("benchmark", "--help").out.split("\nUsage:")[0])
    android = next(text for title, text in found.items() if "Android" in title)
    browsers = next(text for title, text in found.items() if "browsers" in title)
    assert re.findall(r"^  (--[\w-]+)", android, re.M) == [
        "--benchmark-binary", "--serial", "--gpu", "--xnnpack", "--cpu-mask",
    ]  # fmt: skip
    assert re.findall(r"^  (--[\w-]+)", browsers, re.M) == ["--results", "--import"]
    assert not re.search(r"--serial|--import", found["Options"]) and "--against" in found["Options"]


def test_every_option_says_what_it_is() -> None:
    def commands(group: object, path: str = "") -> list[tuple[str, object]]:
        found = []
        for name, command in group.commands.items():  # type: ignore[attr-defined]
            found += (
                commands(command, f"{path} {name}") if hasattr(command, "commands") else [(f"{path} {name}", command)]
            )
        return found

    from typer.main import get_command

    silent = [
        f"{path} {parameter.name}"
        for path, command in commands(get_command(app))
        for parameter in command.params  # type: ignore[attr-defined]
        if not (parameter.help or "").strip()
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["fitt"], "'fit'"),
        (["data", "inspct"], "'inspect'"),
        (["benchmark", "pipline"], "'pipeline'"),
        (["fit", "--sett", "a=b"], "'--set'"),
        (["data", "inspect", "x.csv", "--pictur", "a.png"], "'--picture'"),
        (["benchmark", "a.tflite", "--agianst", "none"], "'--against'"),
    ],
)
def test_a_misspelt_word_is_answered_in_one_line_with_the_nearest(cli: Cli, words: list[str], meant: str) -> None:
    done = cli(*words)
    assert done.code == 2 and done.out == ""
    (line,) = done.err.splitlines()
    assert line.startswith("error: No such ") and f"Did you mean {meant}" in line and "--help'." in line


def test_a_missing_argument_and_a_bad_value_are_one_line(cli: Cli) -> None:
    for words, said in ((["predict"], "Missing argument 'RUN'."), (["demo", "a", "--port", "x"], "'--port'")):
        done = cli(*words)
        assert done.code == 2 and said in done.error and len(done.err.splitlines()) == 1


def test_a_file_named_nearly_like_a_command_is_measured(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipelin").write_bytes(b"no model")
    assert "No such command" not in cli("benchmark", "pipelin").error


def test_a_group_without_arguments_shows_its_help(cli: Cli) -> None:
    for words, command in (([], "fit"), (["data"], "inspect"), (["benchmark"], "pipeline")):
        done = cli(*words)
        assert done.code == 2 and f"  {command}" in done.err and "error" not in done.err


def test_repeated_values_may_also_stand_between_commas() -> None:
    assert listed(["a,b", " c ", ",d,"]) == ["a", "b", "c", "d"]
    assert listed([]) == []


def test_compare_takes_tasks_like_every_repeatable_option(cli: Cli, exported: dict[str, Artifact]) -> None:
    files = [exported[name].path for name in ("float32", "int8_qat")]
    repeated = cli("compare", *files, "--task", "age", "--task", "gender", "--json").json()
    commas = cli("compare", *files, "--task", "age,gender", "--json").json()
    assert list(repeated["tasks"]) == ["age", "gender"] and commas == repeated


def test_the_help_needs_no_rich() -> None:
    code = (
        "import sys; sys.argv = ['keras-faceattr', 'benchmark', '--help']\n"
        "from keras_faceattr.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted({'rich', 'numpy', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
