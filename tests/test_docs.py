"""Every fenced block of the README and the documentation is run by a test, or says why it is not; links work."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
import yaml
from doc_blocks import PAGES, ROOT, Block, blocks

BLOCKS = blocks()
ILLUSTRATIONS = {"text", "csv"}
"""Nothing that could be run: a diagram, a table."""


def of(kind: str) -> list[Block]:
    return [block for block in BLOCKS if block.kind == kind]


def test_every_block_has_a_language_and_every_fence_is_closed() -> None:
    known = {*ILLUSTRATIONS, "sh", "yaml", "python", "cpp", "kotlin", "swift", "js"}
    assert [str(block) for block in BLOCKS if block.kind not in known] == []
    for page in PAGES:
        mine = sum(block.page == page.relative_to(ROOT).as_posix() for block in BLOCKS)
        assert page.read_text(encoding="utf-8").count("\n```") == 2 * mine, page


def test_every_block_that_no_test_runs_says_why() -> None:
    from cli.test_readme import COMMANDS, PYTHON
    from test_ports import RUN

    silent = []
    for block in BLOCKS:
        if block.why or block.kind in (*ILLUSTRATIONS, "yaml"):
            continue
        if block.kind == "sh":
            ran = bool(block.commands) and set(block.commands) <= set(COMMANDS)
        else:
            ran = block.code in (*PYTHON.get(block.page, ()), *RUN)
        silent += [] if ran else [str(block)]
    assert silent == []


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_python_compiles(block: Block) -> None:
    ast.parse(block.code)


@pytest.mark.parametrize("page", sorted({block.page for block in of("sh")}))
def test_the_command_line_knows_every_option_of_a_command(page: str) -> None:
    from typer.main import get_command

    from keras_faceattr.cli.app import app

    for block in of("sh"):
        for command in block.commands if block.page == page else ():
            group, name, words = get_command(app), "keras-faceattr", shlex.split(command)
            words = words[words.index("keras-faceattr") + 1 :]
            context = group.make_context(name, words)
            while hasattr(group, "commands"):
                name, group, words = group.resolve_command(context, [*context._protected_args, *context.args])
                assert group is not None, f"{block}: {command}"
                context = group.make_context(name, words, parent=context)


def complete(settings: dict[str, object]) -> dict[str, object]:
    """A config that holds a page's piece of one."""
    least = {"data": {"sources": [{"reader": "csv_file", "path": "x.csv"}]}, "tasks": {"age": {}}}
    return {"name": "piece", **least, **settings}


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_yaml_is_a_valid_piece_of_a_config(block: Block) -> None:
    from keras_faceattr.config import Experiment

    settings = complete(yaml.safe_load(block.code))
    settings["data"] = {**complete({})["data"], **settings["data"]}  # type: ignore[dict-item]
    assert Experiment.model_validate(settings).name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)", text):
        file = (page.parent / target).resolve() if target else page
        assert file.is_file(), f"{page}: {target}"
        if anchor and file.suffix == ".md" and not anchor.startswith("keras_faceattr"):
            assert anchor in headings(file), f"{page}: {target}#{anchor}"


def headings(page: Path) -> set[str]:
    """Anchors of a page, as GitHub and the site name them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", title).strip().lower().replace(" ", "-") for title in titles}


def test_every_decision_is_listed() -> None:
    listed = (ROOT / "docs/adr/README.md").read_text(encoding="utf-8")
    for record in (ROOT / "docs/adr").glob("0*.md"):
        title = record.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert f"[{title}]({record.name})" in listed


def test_the_messages_of_the_troubleshooting_page_are_those_of_the_code() -> None:
    strings = set()
    for path in (ROOT / "keras_faceattr").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                strings.add("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings.add(node.value)
    code = "\n".join(strings)
    page = (ROOT / "docs/guides/troubleshooting.md").read_text(encoding="utf-8")
    first_cells = re.findall(r"^\| (`.*?) \|", page, flags=re.MULTILINE)
    assert len(first_cells) > 20
    missing = [
        piece
        for cell in first_cells
        for message in re.findall(r"`([^`]+)`", cell)
        for piece in map(str.strip, message.split("…"))
        if len(piece) > 3 and piece.strip(" ;:,") not in code
    ]
    assert missing == []
