"""A browser, and sites that it opens: the page with real files, served as the command serves them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from demo_browser import CHROMIUM, FRAME, WAIT_MS, Open, served, write_clip

from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.data.synthetic import draw_scene


@pytest.fixture(scope="session")
def face_file(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A file whose crop needs a face; its net is not trained."""
    from small import Quiet, untrained_run

    from keras_faceattr.convert.export import export_recipe
    from keras_faceattr.convert.recipe import load_recipe
    from keras_faceattr.convert.source import read_source
    from keras_faceattr.run import Run

    folder = tmp_path_factory.mktemp("faces")
    data = {
        "sources": [{"reader": "synthetic", "options": {"count": 20, "size": 96}}],
        "crop": {"method": "five_points", "size": 32, "margin": 0.1},
        "max_bad_share": 0.5,
    }
    tasks = {"age": {"method": "dldl_v2"}, "gender": {}, "attributes": {}}
    config = {"name": "faces", "data": data, "tasks": tasks, "evaluation": {"bootstrap_samples": 0}}
    source = read_source(Run(untrained_run(folder / "run", config, ("train", "val", "test"))), [], {}, Quiet())
    return export_recipe(source, load_recipe("float32"), folder / "float32", Quiet())


@pytest.fixture(scope="session")
def site(exported: dict[str, Artifact], face_file: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built site of three files; copy it to change it."""
    from keras_faceattr.demo.bundle import build_site

    folder = tmp_path_factory.mktemp("demo") / "site"
    build_site(folder, [face_file.path, exported["float32"].path, exported["int8_full"].path], post=False)
    return folder


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    with served(site) as url:
        yield url


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium whose camera shows a drawn face."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    clip = tmp_path_factory.mktemp("clip") / "faces.y4m"
    photo, _ = draw_scene(20_000, 1, FRAME[1], FRAME[0])
    write_clip(clip, [photo] * 4)
    arguments = ["--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={clip}"]
    # Chromium's own sandbox wants a user who is not root.
    arguments += ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens an address as a new visitor on a phone, and waits until the page has started or failed."""
    contexts = []

    def open_it(url: str, *, script: str = "", camera: bool = True, width: int = 360, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 760}, **options)
        contexts.append(context)
        if camera:
            context.grant_permissions(["camera"])
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.problems, page.urls = [], []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: page.urls.append(request.url))
        if script:
            page.add_init_script(script)
        page.goto(url)
        page.wait_for_selector("html[data-state]", state="attached")
        return page

    yield open_it
    for context in contexts:
        context.close()
