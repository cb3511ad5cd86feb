"""`keras-faceattr demo`: what it prints, what it leaves behind, and its one-line refusals."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small import CommandLine, frameworks_after
from small_site import Built, MakeArtifact, write_files
from small_site import detectors as detectors
from small_site import make_artifact as make_artifact

from keras_faceattr.cli import demo
from keras_faceattr.demo.server import DemoServer
from keras_faceattr.errors import BenchmarkError
from keras_faceattr.measure.browser import results as browser_results

Ask = Callable[[str], None]


@pytest.fixture
def while_serving(monkeypatch: pytest.MonkeyPatch) -> Callable[[Ask], list[Path]]:
    """Has a function ask the server by its address, then presses Ctrl-C; gives the folders that were served."""
    served: list[Path] = []
    serve = DemoServer.serve

    def set_up(ask: Ask) -> list[Path]:
        def stand_in(self: DemoServer, site: Path) -> None:
            served.append(site)
            thread = threading.Thread(target=serve, args=(self, site))
            thread.start()
            try:
                ask(f"http://127.0.0.1:{self.port}/")
            finally:
                self.shutdown()
                thread.join()
            raise KeyboardInterrupt

        monkeypatch.setattr(DemoServer, "serve", stand_in)
        return served

    return set_up


def nothing(url: str) -> None:
    """Asks nothing."""


def post(url: str, body: bytes) -> Any:
    request = urllib.request.Request(f"{url}results", body, {"Content-Type": "application/json"})
    return json.loads(urllib.request.urlopen(request, timeout=20).read())


def test_it_serves_the_page_until_ctrl_c_and_cleans_up(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(demo, "network_address", lambda: "192.0.2.7")
    pages: list[bytes] = []
    served = while_serving(lambda url: pages.append(urllib.request.urlopen(url, timeout=20).read()))
    code, out, err = command_line("demo", make_artifact(name="my_net"), "--port", 0)
    lines = out.splitlines()
    assert code == 0 and pages == [b"<!doctype html><title>demo</title>"]
    port = lines[0].removeprefix("serving http://localhost:").removesuffix("/")
    assert port.isdigit() and lines[1] == f"network http://192.0.2.7:{port}/"
    assert "artifact my_net" in lines and "results export/results" in lines
    assert "--https" in out and f"adb reverse tcp:{port}" in out
    assert "\x1b" not in out and "Traceback" not in err
    assert not served[0].parent.exists()


def test_a_result_is_kept_and_gets_a_line(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any, monkeypatch: Any,
    tmp_path: Path,
) -> None:  # fmt: skip
    def save_result(body: bytes, folder: Path) -> Path:
        return write_files(folder, {"2026_browser.json": body.decode()}) / "2026_browser.json"

    monkeypatch.setattr(browser_results, "save_result", save_result)
    answers: list[Any] = []
    while_serving(lambda url: answers.append(post(url, b'{"a": 1}')))
    home = tmp_path / "home"
    code, out, _ = command_line("demo", make_artifact(), "--port", 0, "--results", home)
    assert (code, answers) == (0, [{"name": "2026_browser.json"}])
    assert (home / "2026_browser.json").read_text() == '{"a": 1}'
    assert out.splitlines()[-1] == f"result {home / '2026_browser.json'}"


def test_what_is_no_result_leaves_no_line(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any, monkeypatch: Any
) -> None:
    def save_result(body: bytes, folder: Path) -> Path:
        raise BenchmarkError("no result")

    def ask(url: str) -> None:
        with pytest.raises(urllib.error.HTTPError, match="400"):
            post(url, b"{}")

    monkeypatch.setattr(browser_results, "save_result", save_result)
    while_serving(ask)
    code, out, _ = command_line("demo", make_artifact(), "--port", 0)
    assert code == 0 and "result " not in out


def test_without_a_network_it_says_so_and_serves(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(demo, "network_address", lambda: None)
    assert while_serving(nothing) == []
    code, out, _ = command_line("demo", make_artifact(), "--port", 0)
    assert code == 0 and "no network interface: only this machine can open it" in out.splitlines()


def test_https_is_announced_with_its_fingerprint(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any
) -> None:
    while_serving(nothing)
    code, out, _ = command_line("demo", make_artifact(), "--port", 0, "--https", "--host", "127.0.0.1")
    assert code == 0 and out.startswith("serving https://localhost:")
    assert "SHA-256 is " in out and "network" not in out.splitlines()[1].split()[:1]


def test_json_is_one_object_a_line(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any
) -> None:
    while_serving(nothing)
    _, out, _ = command_line("demo", make_artifact(name="n"), "--port", 0, "--json", "--host", "127.0.0.1")
    (row,) = [json.loads(line) for line in out.splitlines()]
    assert row["url"].startswith("http://localhost:") and row["network_url"] is None and row["artifacts"] == ["n"]


def test_build_writes_a_site_that_takes_no_results_and_ends(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    code, out, _ = command_line("demo", make_artifact(), "--build", folder)
    assert code == 0 and str(folder) in out and "http.server" in out
    assert json.loads((folder / "data" / "demo.json").read_text())["post"] is False
    code, out, _ = command_line("demo", make_artifact(), "--build", folder, "--json")
    assert code == 0 and json.loads(out)["folder"] == str(folder)


def test_a_users_mistakes_are_one_line_and_exit_2(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, tmp_path: Path
) -> None:
    model, thesis = make_artifact(), write_files(tmp_path / "thesis", {"thesis.txt": "x"})
    with DemoServer("127.0.0.1", 0) as server:
        for arguments, words in (
            ([model, "--host", "127.0.0.1", "--port", server.port], "is in use"),
            ([model, "--host", "203.0.113.9"], "is no address of this machine"),
            ([tmp_path / "none.tflite", "--port", 0], "no file"),
            ([thesis, "--port", 0], "keras-faceattr export RUN"),
            ([model, "--build", thesis], "neither empty nor an earlier site"),
        ):
            code, _, err = command_line("demo", *arguments)
            assert code == 2 and words in err and err.startswith("error: ") and err.count("\n") == 1, err


def test_the_command_runs_without_tensorflow() -> None:
    assert frameworks_after("import keras_faceattr.cli.demo, keras_faceattr.measure.browser.results") == "[]"
