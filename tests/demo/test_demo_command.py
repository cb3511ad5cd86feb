"""`keras-faceattr demo`: what it prints, what it leaves behind, and its one-line refusals."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from http_client import SIGNED, TOKEN
from small import CommandLine, frameworks_after
from small_site import Built, MakeArtifact, write_files
from small_site import detectors as detectors
from small_site import make_artifact as make_artifact

from keras_faceattr.cli import demo
from keras_faceattr.errors import BenchmarkError
from keras_faceattr.http.server import HttpServer
from keras_faceattr.http.token import new_token

Ask = Callable[[str], None]


@pytest.fixture
def while_serving(monkeypatch: pytest.MonkeyPatch) -> Callable[[Ask], list[Path]]:
    """Has a function ask the server by its address, then presses Ctrl-C; gives the folders that were served."""
    served: list[Path] = []
    serve, make_app = HttpServer.serve, demo.demo_app

    def noted_app(site: Path, *arguments: Any) -> Any:
        served.append(site)
        return make_app(site, *arguments)

    def set_up(ask: Ask) -> list[Path]:
        def stand_in(self: HttpServer, app: Any, certificate: Path | None = None) -> None:
            thread = threading.Thread(target=serve, args=(self, app, certificate))
            thread.start()
            try:
                ask(f"http://127.0.0.1:{self.port}/")
            finally:
                self.stop()
                thread.join()
            raise KeyboardInterrupt

        monkeypatch.setattr(demo, "demo_app", noted_app)
        monkeypatch.setattr(demo, "new_token", lambda: TOKEN)
        monkeypatch.setattr(HttpServer, "serve", stand_in)
        return served

    return set_up


def nothing(url: str) -> None:
    """Asks nothing."""


def post(url: str, body: bytes) -> Any:
    request = urllib.request.Request(f"{url}results", body, SIGNED)
    return json.loads(urllib.request.urlopen(request, timeout=20).read())


def test_it_serves_the_page_until_ctrl_c_and_cleans_up(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any, monkeypatch: Any,
    own_cache: Path,
) -> None:  # fmt: skip
    monkeypatch.setattr(demo, "network_address", lambda: "192.0.2.7")
    pages: list[bytes] = []
    served = while_serving(lambda url: pages.append(urllib.request.urlopen(url, timeout=20).read()))
    code, out, err = command_line("demo", make_artifact(name="my_net"), "--port", 0, "--host", "0.0.0.0")
    lines = out.splitlines()
    assert code == 0 and pages == [b"<!doctype html><title>demo</title>"]
    port = lines[0].removeprefix("serving http://127.0.0.1:").removesuffix(f"/#token={TOKEN}")
    assert port.isdigit() and lines[1] == f"network http://192.0.2.7:{port}/#token={TOKEN}"
    assert "artifact my_net" in lines and f"results {own_cache / 'browser_results'}" in lines
    assert "--https" in out and f"adb reverse tcp:{port}" in out
    assert "\x1b" not in out and "Traceback" not in err
    assert not served[0].parent.exists()


def test_a_result_is_kept_and_gets_a_line(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any, monkeypatch: Any,
    tmp_path: Path,
) -> None:  # fmt: skip
    def save_result(body: bytes, folder: Path) -> Path:
        return write_files(folder, {"2026_browser.json": body.decode()}) / "2026_browser.json"

    monkeypatch.setattr(demo, "save_result", save_result)
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

    monkeypatch.setattr(demo, "save_result", save_result)
    while_serving(ask)
    code, out, _ = command_line("demo", make_artifact(), "--port", 0)
    assert code == 0 and "result " not in out


def test_without_a_network_it_says_so_and_serves(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(demo, "network_address", lambda: None)
    assert while_serving(nothing) == []
    code, out, _ = command_line("demo", make_artifact(), "--port", 0, "--host", "0.0.0.0")
    assert code == 0 and "no network interface: only this machine can open it" in out.splitlines()


def bound_addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    hosts: list[str] = []
    original = HttpServer.__init__

    def noted(self: HttpServer, *arguments: Any) -> None:
        original(self, *arguments)
        hosts.append(self.listener.getsockname()[0])

    monkeypatch.setattr(HttpServer, "__init__", noted)
    return hosts


@pytest.mark.parametrize(
    ("options", "bound"),
    [([], "127.0.0.1"), (["--https"], "0.0.0.0"), (["--host", "0.0.0.0"], "0.0.0.0"),
     (["--https", "--host", "127.0.0.1"], "127.0.0.1"), (["--host", "localhost"], "127.0.0.1")],
)  # fmt: skip
def test_it_listens_to_the_network_only_when_asked(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any, monkeypatch: Any,
    options: list[str], bound: str,
) -> None:  # fmt: skip
    hosts = bound_addresses(monkeypatch)
    while_serving(nothing)
    code, out, _ = command_line("demo", make_artifact(), "--port", 0, *options)
    assert code == 0 and hosts == [bound]
    assert ("only this machine can open it" in out) == (bound == "127.0.0.1")
    assert ("Everyone on that network can open the page" in out) == ("\nnetwork " in out)


def test_a_post_without_the_token_of_the_address_keeps_nothing(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any, own_cache: Path
) -> None:
    def ask(url: str) -> None:
        request = urllib.request.Request(f"{url}results", b"{}", {"Content-Type": "application/json"})
        with pytest.raises(urllib.error.HTTPError, match="401") as caught:
            urllib.request.urlopen(request, timeout=20)
        assert "token" in json.loads(caught.value.read())["error"]

    while_serving(ask)
    code, out, _ = command_line("demo", make_artifact(), "--port", 0)
    assert code == 0 and "result " not in out and not (own_cache / "browser_results").exists()


def test_every_start_has_another_token(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any, monkeypatch: Any
) -> None:
    while_serving(nothing)
    monkeypatch.setattr(demo, "new_token", new_token)
    addresses = [
        json.loads(command_line("demo", make_artifact(), "--port", 0, "--json")[1].splitlines()[0])["url"]
        for _ in range(2)
    ]
    tokens = {address.partition("#token=")[2] for address in addresses}
    assert len(tokens) == 2 and all(len(token) >= 20 for token in tokens)


def test_results_of_a_run_are_kept_in_it_and_others_in_the_cache(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any, tmp_path: Path,
    own_cache: Path, monkeypatch: Any,
) -> None:  # fmt: skip
    elsewhere = tmp_path / "clone"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    model = make_artifact("runs/a/export/int8/m.tflite")
    other = make_artifact("b/m.tflite")
    write_files(tmp_path / "runs/a", {"config.yaml": "", "tasks.yaml": ""})
    monkeypatch.setattr(demo, "save_result", lambda body, folder: write_files(folder, {"a.json": "{}"}) / "a.json")
    while_serving(lambda url: post(url, b"{}"))
    for arguments, folder in (
        ([model], tmp_path / "runs/a"),
        ([tmp_path / "runs/a"], tmp_path / "runs/a"),
        ([model, other], own_cache),
        ([other], own_cache),
    ):
        code, out, _ = command_line("demo", *arguments, "--port", 0)
        kept = folder / "browser_results" / "a.json"
        assert code == 0 and f"result {kept}" in out.splitlines()
        kept.unlink()
    assert list(elsewhere.iterdir()) == []


def test_https_is_announced_with_its_fingerprint(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any
) -> None:
    while_serving(nothing)
    code, out, _ = command_line("demo", make_artifact(), "--port", 0, "--https", "--host", "127.0.0.1")
    assert code == 0 and out.startswith("serving https://127.0.0.1:")
    assert "SHA-256 is " in out and "network" not in out.splitlines()[1].split()[:1]


@pytest.mark.parametrize(("orphaned", "said"), [(True, "nohup keeps it running"), (False, "stopped")])
def test_it_says_why_it_stopped(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any, monkeypatch: Any,
    orphaned: bool, said: str,
) -> None:  # fmt: skip
    while_serving(nothing)
    monkeypatch.setattr(HttpServer, "orphaned", orphaned)
    _, _, err = command_line("demo", make_artifact(), "--port", 0)
    assert err.splitlines()[-1].endswith(said)


def test_json_is_one_object_a_line(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any
) -> None:
    while_serving(nothing)
    _, out, _ = command_line("demo", make_artifact(name="n"), "--port", 0, "--json", "--host", "127.0.0.1")
    (row,) = [json.loads(line) for line in out.splitlines()]
    assert row["url"].startswith("http://127.0.0.1:") and row["network_url"] is None and row["artifacts"] == ["n"]


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
    with HttpServer("127.0.0.1", 0) as server:
        for arguments, words in (
            ([model, "--host", "127.0.0.1", "--port", server.port], "is in use"),
            ([model, "--port", 70000], "out of range"),
            ([tmp_path / "none.tflite", "--port", 0], "no file"),
            ([thesis, "--port", 0], "keras-faceattr export RUN"),
            ([model, "--build", thesis], "neither empty nor an earlier site"),
        ):
            code, _, err = command_line("demo", *arguments)
            assert code == 2 and words in err and err.startswith("error: ") and err.count("\n") == 1, err


@pytest.mark.parametrize("https", [[], ["--https"]])
@pytest.mark.parametrize("host", ["bücher", " ", "203.0.113.9", "::bad", "none.invalid", "[", "a" * 300, "http://x/"])
def test_a_host_that_cannot_be_used_is_one_line_and_exit_2(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, own_cache: Path, host: str,
    https: list[str],
) -> None:  # fmt: skip
    code, _, err = command_line("demo", make_artifact(), "--port", 0, "--host", host, *https)
    assert code == 2 and err.count("\n") == 1 and "is not an address of this machine" in err, err


def test_ipv6_is_served_and_written_in_brackets(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, while_serving: Any
) -> None:
    pages: list[bytes] = []

    def ask(url: str) -> None:
        url = url.replace("127.0.0.1", "[::1]")
        pages.append(urllib.request.urlopen(url, timeout=20).read())

    while_serving(ask)
    for host in ("::1", "[::1]"):
        code, out, err = command_line("demo", make_artifact(), "--port", 0, "--host", host)
        if code == 2 and "not an address of this machine" in err:
            pytest.skip("no IPv6 here")
        assert code == 0 and out.startswith("serving http://[::1]:")
    assert len(pages) == 2


def test_the_command_runs_without_tensorflow() -> None:
    assert frameworks_after("import keras_faceattr.cli.demo, keras_faceattr.measure.browser.results") == "[]"


def test_the_page_answers_the_named_tasks(
    command_line: CommandLine, detectors: Built, make_artifact: MakeArtifact, tmp_path: Path
) -> None:
    model, site = make_artifact(), tmp_path / "site"
    sidecar = json.loads(model.with_suffix(".json").read_text(encoding="utf-8"))
    sidecar["tasks"]["t"]["sensitive"] = True
    model.with_suffix(".json").write_text(json.dumps(sidecar), encoding="utf-8")
    code, _, err = command_line("demo", model, "--build", site)
    assert code == 2 and "t: sensitive, and answered only where named" in err and not site.exists()
    assert command_line("demo", model, "--build", site, "--task", "t")[0] == 0
    assert json.loads((site / "data/demo.json").read_text(encoding="utf-8"))["artifacts"][0]["tasks"] == ["t"]
