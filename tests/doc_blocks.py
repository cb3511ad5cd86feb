"""Fenced blocks of the README and the documentation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "mobile_demo/android/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/guides").glob("*.md")),
]
FENCE = re.compile(
    r"(?:^<!-- not run: (?P<why>.+?) -->\n)?^```(?P<kind>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: path in the repository.
        line: of its fence, from 1.
        why: it is not run; empty for one that a test runs.
    """

    page: str
    line: int
    kind: str
    code: str
    why: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Its calls of `keras-faceattr`, each in one line, without comments."""
        lines = re.sub(r"\\\n\s*", "", self.code).splitlines()
        found = [re.sub(r"\s+# .*", "", line).strip() for line in lines]
        return [line for line in found if re.match(r"(\w+=\S+ )*keras-faceattr ", line)]


def blocks() -> list[Block]:
    """All blocks of all pages."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text[: match.start("kind")].count("\n") + 1
            name = page.relative_to(ROOT).as_posix()
            found.append(Block(name, line, match["kind"], match["code"], match["why"] or ""))
    return found
