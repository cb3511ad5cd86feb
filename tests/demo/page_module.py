"""Modules of the page by themselves, in Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

NODE = shutil.which("node")
COMPUTE = Path(str(resources.files("mobile_demo"))) / "app" / "compute"


def page_module(folder: Path, name: str, script: str) -> Callable[..., Any]:
    """What a script prints as JSON that imports `./NAME.mjs`, given its words as JSON; skips the test without Node.

    Args:
        folder: where both are put.
        name: of a module of the page's `app/compute`.
    """
    if NODE is None:
        pytest.skip("Node.js is not installed")
    # Without a package.json only this ending says that it is a module.
    shutil.copy(COMPUTE / f"{name}.js", folder / f"{name}.mjs")
    (folder / "run.mjs").write_text(script, encoding="utf-8")

    def run(**words: Any) -> Any:
        command = [NODE, "run.mjs", json.dumps(words)]
        return json.loads(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout)

    return run
