"""Times measured in a real browser come home as rows of `keras-faceattr benchmark`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from demo_browser import Open, needs_browser, served

from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.errors import BenchmarkError
from keras_faceattr.measure.browser.results import read_result, save_result

pytestmark = [pytest.mark.browser, needs_browser]


@pytest.fixture
def command(exported: dict[str, Artifact], tmp_path: Path) -> Iterator[str]:
    """Address of the command, as a user starts it."""
    arguments = ["demo", str(exported["int8_qat"].path), "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_faceattr", *arguments], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().removeprefix("serving ").strip()
    finally:
        process.terminate()
        assert process.wait(30) == 0


def with_results(site: Path, folder: Path) -> Path:
    """A copy of a site whose page offers to send results."""
    own = Path(shutil.copytree(site, folder / "site"))
    index = own / "data" / "demo.json"
    index.write_text(json.dumps({**json.loads(index.read_text(encoding="utf-8")), "post": True}), encoding="utf-8")
    return own


def run_benchmark(page: Any) -> dict[str, Any]:
    page.click("#tab-benchmark")
    page.evaluate("() => { app.benchmark.seconds = 0.1; }")
    page.click("#run")
    page.locator("#benchmark-status", has_text="Done").wait_for()
    return dict(page.evaluate("app.benchmark.result"))


def test_what_a_browser_sends_is_a_row_of_the_benchmark(
    command: str, open_page: Open, exported: dict[str, Artifact], tmp_path: Path
) -> None:
    page = open_page(command)
    result = run_benchmark(page)
    cores = result["device"]["cores"]
    assert [row["threads"] for row in result["rows"]] == [count for count in (1, 2, 4) if count <= cores]
    page.click("#send")
    page.locator("#benchmark-status", has_text="Sent").wait_for()
    done = subprocess.run(
        [sys.executable, "-m", "keras_faceattr", "benchmark", str(exported["int8_qat"].path), "--device", "browser",
         "--json"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    rows = json.loads(done.stdout)["rows"]
    assert [row["threads"] for row in rows] == [row["threads"] for row in result["rows"]]
    for row, sent in zip(rows, result["rows"], strict=True):
        assert row["device"] == "browser" and row["verified"]
        assert row["p50_ms"] == pytest.approx(sent["parts"]["model"]["p50_ms"])
        assert row["parts"]["end_to_end"] == sent["parts"]["end_to_end"]


def test_without_the_token_of_the_address_nothing_is_taken_and_the_page_says_why(
    site: Path, open_page: Open, tmp_path: Path
) -> None:
    received: list[bytes] = []
    with served(with_results(site, tmp_path), lambda body: received.append(body) or "a.json") as url:
        page = open_page(url.partition("#")[0])
        run_benchmark(page)
        page.click("#send")
        said = page.locator("#benchmark-status", has_text="Not sent").inner_text()
        assert "open the address that the command printed" in said and received == []
        # The address with its token makes up for it, without measuring again.
        page.evaluate("(hash) => { location.hash = hash; }", url.partition("#")[2])
        page.click("#send")
        page.locator("#benchmark-status", has_text="Sent").wait_for()
    assert len(received) == 1


def test_what_was_not_taken_is_said_and_can_be_saved(site: Path, open_page: Open, tmp_path: Path) -> None:
    folder = tmp_path / "results"

    def refuse(body: bytes) -> str:
        save_result(body, folder)
        raise BenchmarkError("the folder is full")

    with served(with_results(site, tmp_path), refuse) as url:
        page = open_page(url)
        run_benchmark(page)
        page.click("#send")
        assert "the folder is full" in page.locator("#benchmark-status", has_text="Not sent").inner_text()
        with page.expect_download() as download:
            page.click("#save")
        saved = Path(download.value.path()).read_bytes()
    assert len(read_result(saved, "saved").rows) >= 3
    assert len(list(folder.iterdir())) == 1
