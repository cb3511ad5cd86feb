"""`keras-faceattr demo`."""

from __future__ import annotations

import json as json_module
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_faceattr.cli.options import print_json
from keras_faceattr.cli.results import say
from keras_faceattr.demo.address import is_local, network_address, qr_code, url_of
from keras_faceattr.demo.bundle import Site, build_site
from keras_faceattr.demo.certificate import certificate_file, fingerprint
from keras_faceattr.demo.server import DemoServer

ANYWHERE = ("0.0.0.0", "::")
"""Hosts that stand for all addresses of this machine."""


@dataclass(frozen=True)
class DemoOptions:
    """What the command line says."""

    artifacts: list[Path]
    host: str
    port: int
    https: bool
    results: Path
    build: Path | None
    json: bool


def run_demo(options: DemoOptions) -> None:
    """Serves the page until Ctrl-C, or writes it into a folder."""
    if options.build:
        _build(options.build, options)
        return
    network = network_address() if options.host in ANYWHERE else None if is_local(options.host) else options.host
    certificate = certificate_file([network] if network else []) if options.https else None
    with (
        DemoServer(options.host, options.port, _receiver(options), certificate) as server,
        tempfile.TemporaryDirectory(prefix="keras-faceattr-demo-") as folder,
    ):
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            site = build_site(Path(folder) / "site", options.artifacts, post=True, say=say)
            _announce(options, site, server.port, network, certificate)
            server.serve(site.folder)
        except KeyboardInterrupt:
            say("stopped")


def _build(folder: Path, options: DemoOptions) -> None:
    site = build_site(folder, options.artifacts, post=False, say=say)
    size = sum(path.stat().st_size for path in (folder / url for url in site.files))
    if options.json:
        print_json({"folder": str(folder), "version": site.version, "artifacts": site.names, "bytes": size})
        return
    for name in site.names:
        print(f"artifact  {name}")
    print(f"site      {folder}  {len(site.files)} files, {size / 1e6:.1f} MB")
    print(
        "\nCopy it to any static host with https. Threads need two headers there: Cross-Origin-Opener-Policy: "
        "same-origin and Cross-Origin-Embedder-Policy: require-corp; without them the page takes one thread.\n"
        f"To try it here: python -m http.server --directory {folder}"
    )


def _announce(options: DemoOptions, site: Site, port: int, network: str | None, certificate: Path | None) -> None:
    """The first line is for machines too."""
    local = options.host in ANYWHERE or is_local(options.host)
    here = url_of("localhost" if local else options.host, port, https=options.https)
    there = url_of(network, port, https=options.https) if network else None
    proof = fingerprint(certificate) if certificate else None
    if options.json:
        row = {"url": here, "network_url": there, "version": site.version, "artifacts": site.names}
        _print(json_module.dumps({**row, "results": str(options.results), "certificate_sha256": proof}))
        return
    _print(f"serving {here}")
    if there:
        _print(f"network {there}")
        # Its colours would be noise in a log.
        if sys.stdout.isatty() and "utf" in sys.stdout.encoding.lower():
            _print(qr_code(there))
    elif options.host in ANYWHERE:
        _print("no network interface: only this machine can open it")
    else:
        _print("only this machine can open it: --host 0.0.0.0 lets the network in")
    for name in site.names:
        _print(f"artifact {name}")
    _print(f"results {options.results}")
    if proof:
        _print(f"The browser warns of a certificate that it does not know; its SHA-256 is {proof}")
    elif there:
        _print(
            "Over http the camera and threads work on localhost alone. For a phone: start with --https; or cable it, "
            f"`adb reverse tcp:{port} tcp:{port}`, and open http://localhost:{port}/ there"
        )
    _print("Ctrl-C ends it")


def _receiver(options: DemoOptions) -> Any:
    """Keeps a result and says so."""
    from keras_faceattr.measure.browser.results import save_result

    def receive(body: bytes) -> str:
        path = save_result(body, options.results)
        _print(json_module.dumps({"result": str(path)}) if options.json else f"result {path}")
        return path.name

    return receive


def _interrupt(*_: object) -> None:
    """Being ended is as good as Ctrl-C: the temporary folder goes either way."""
    raise KeyboardInterrupt


def _print(line: str) -> None:
    print(line, flush=True)
