"""The page of an export: one file that needs no other, with every recipe, gate and group in it."""

from __future__ import annotations

import base64
import copy
import dataclasses
import html
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path

import pytest

from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.artifact.sidecar import GateSpec
from keras_faceattr.convert.page import measured_models, write_page
from keras_faceattr.convert.recipe import load_recipe
from keras_faceattr.evaluation.formatting import signed_text
from keras_faceattr.measure.latency import Latency

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Collects text, links and pictures, and checks that every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.links, self.open, self.style = "", [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [str(value) for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text += f"{data}\n"


def written(path: Path, artifacts: list[Artifact], latencies: dict[str, Latency]) -> Page:
    write_page(path, artifacts, latencies)
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def artifacts(exported: dict[str, Artifact]) -> list[Artifact]:
    """One of them with a gate of every verdict, in words that HTML must not read."""
    gates = [GateSpec(name=f"<b>{m}</b> & co", limit="≤ 1", measured="2", met=m) for m in (True, False, None)]
    first, *others = exported.values()
    changed = first.sidecar.model_copy(
        update={"gates": (*first.sidecar.gates, *gates), "notices": ("Mind <the> law.",)}
    )
    return [dataclasses.replace(first, sidecar=changed), *others]


@pytest.fixture(scope="module")
def page(artifacts: list[Artifact], tmp_path_factory: pytest.TempPathFactory) -> Page:
    times = {a.sidecar.name: Latency.of([0.001234 * (i + 1)] * 5, 1) for i, a in enumerate(artifacts)}
    return written(tmp_path_factory.mktemp("page") / "index.html", artifacts, times)


@pytest.fixture
def with_control(exported: dict[str, Artifact]) -> list[Artifact]:
    """`int8_qat`, and a control of it whose float net has an MAE of 7.25 years and whose epochs were thrown away."""
    kept = {**exported["int8_qat"].sidecar.quantization, "fine_tuned": True}
    sidecar = exported["int8_qat"].sidecar.model_copy(update={"quantization": kept})
    rounded = dataclasses.replace(exported["int8_qat"], sidecar=sidecar)
    recipe = load_recipe("int8_qat").control()
    unrounded = copy.deepcopy(sidecar.metrics)
    unrounded["age"]["metrics"]["mae"]["value"] = 7.25
    changed = sidecar.model_copy(
        update={
            "recipe": recipe.name,
            "quantization": {"recipe": recipe.model_dump(mode="json"), "fine_tuned": False},
            "parity": {**sidecar.parity, "metrics": {**sidecar.parity["metrics"], "unrounded": unrounded}},
        }
    )
    return [rounded, dataclasses.replace(rounded, sidecar=changed)]


def test_a_control_is_two_rows_and_says_what_they_tell(with_control: list[Artifact], tmp_path: Path) -> None:
    sidecars = [artifact.sidecar for artifact in with_control]
    rows = measured_models(sidecars, "age")
    assert [(name, number) for name, number, _ in rows] == [
        ("Keras, float", None), ("int8_qat", 0), ("int8_qat_control, float", None), ("int8_qat_control", 1)
    ]  # fmt: skip
    assert rows[2][2]["mae"]["value"] == 7.25
    text = " ".join(written(tmp_path / "index.html", with_control, {}).text.split())
    assert "int8_qat_control, float 7.25" in text
    assert text.count("Is rounding-aware training worth it?") == 1
    assert text.count("Fine-tuning made a task worse on the validation photos") == 1


def test_it_is_well_formed_and_loads_nothing(page: Page) -> None:
    assert page.open == []
    assert page.links and all(link.startswith("data:image/png;base64,") for link in page.links)
    assert all(base64.b64decode(link.partition(",")[2]).startswith(b"\x89PNG") for link in page.links)
    assert "url(" not in page.style and "@import" not in page.style


def test_every_recipe_gate_and_group_is_in_it(page: Page, artifacts: list[Artifact]) -> None:
    for artifact in artifacts:
        sidecar = artifact.sidecar
        assert f"{sidecar.recipe}: {sidecar.status}" in page.text
        assert sidecar.file.name in page.text and sidecar.file.sha256[:16] in page.text
        for gate in sidecar.gates:
            for cell in (gate.name, gate.limit, gate.measured):
                assert cell in page.text
    for verdict in ("\nmet\n", "\nnot met\n", "\nnot measured\n"):
        assert verdict in page.text
    assert "gender: female" in page.text and "gender: male" in page.text and "\ntoo few\n" in page.text


def test_times_costs_and_metrics_stand_beside_each_other(page: Page, artifacts: list[Artifact]) -> None:
    assert "Keras, float" in page.text
    # 0.001234 s, and two and three times that.
    for time in ("1.23", "2.47", "3.70"):
        assert f"\n{time}\n" in page.text
    for artifact in artifacts:
        assert f"{artifact.sidecar.cost.file_bytes / 1e6:.3f}" in page.text
        mae = artifact.sidecar.metrics["age"]["metrics"]["mae"]["value"]
        assert f"\n{mae:.2f} (" in page.text


def test_no_row_is_wider_than_the_page_however_many_tasks_there_are(artifacts: list[Artifact], tmp_path: Path) -> None:
    write_page(tmp_path / "index.html", artifacts, {})
    tables = re.findall(r"<table>(.*?)</table>", (tmp_path / "index.html").read_text(encoding="utf-8"), re.DOTALL)
    headers = [re.findall(r"<th[^>]*>(.*?)</th>", table) for table in tables]
    assert headers[0] == ["recipe", "MB", "MMAC", "peak activations MB", "p50 ms", "p90 ms", "gates"]
    # Three tasks, each with a table of its own behind that.
    assert [header[0] for header in headers[1:4]] == ["recipe"] * 3
    assert headers[2] == ["recipe", "MAE (years)", "RMSE (years)", "PC", "ε-error"]
    assert max(map(len, headers)) <= 7


@pytest.mark.browser
def test_in_a_browser_no_table_is_cut_off_at_the_right_edge(artifacts: list[Artifact], tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    write_page(tmp_path / "index.html", artifacts, {})

    def measure() -> list[int]:
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1100, "height": 700})
            page.goto((tmp_path / "index.html").as_uri())
            found: list[int] = page.evaluate(
                "[...document.querySelectorAll('.wide')].map(box => box.scrollWidth - box.clientWidth)"
            )
            browser.close()
            return found

    # A thread of its own, for a browser of another test may be open in this one.
    with ThreadPoolExecutor(1) as thread:
        hidden = thread.submit(measure).result()
    assert len(hidden) > 8 and max(hidden) == 0


def test_notices_and_terms_of_the_data_are_told_as_text(page: Page, artifacts: list[Artifact]) -> None:
    assert "Mind <the> law." in page.text
    for name in artifacts[0].sidecar.licences["data"]:
        assert name in page.text


def test_what_was_not_timed_reads_not_measured_and_has_no_picture_of_time(
    page: Page, artifacts: list[Artifact], tmp_path: Path
) -> None:
    untimed = written(tmp_path / "index.html", artifacts, {})
    # Median and p90 of each file, and the one gate.
    assert untimed.text.split("\n").count("not measured") == 2 * len(artifacts) + 1
    assert len(untimed.links) == len(page.links) - 1


def test_names_are_escaped(artifacts: list[Artifact], tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    experiment = {**artifacts[0].sidecar.experiment, "name": evil}
    changed = artifacts[0].sidecar.model_copy(update={"experiment": experiment, "model": evil})
    write_page(tmp_path / "index.html", [dataclasses.replace(artifacts[0], sidecar=changed)], {})
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<script" not in text and html.escape(evil) in text


@pytest.mark.parametrize(
    ("metric", "value", "shown"),
    [("mae", 0.25, "+0.2500"), ("mae", -0.25, "−0.2500"), ("pc", 0.0, "±0.0000"), ("accuracy", -0.01, "−1.0 pp")],
)
def test_a_change_has_its_sign(metric: str, value: float, shown: str) -> None:
    assert signed_text(metric, value) == shown
