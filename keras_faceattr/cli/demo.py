"""`keras-faceattr demo`."""

from __future__ import annotations

import json as json_module
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from keras_faceattr.cli.options import print_json
from keras_faceattr.demo.bundle import Site, build_demo, build_site
from keras_faceattr.demo.qr import qr_code
from keras_faceattr.demo.server import demo_app
from keras_faceattr.http.address import ALL_ADDRESSES, ANY, LOOPBACK, is_local, network_address, url_of
from keras_faceattr.http.certificate import certificate_file, fingerprint
from keras_faceattr.http.server import HttpServer, ended_by_signals
from keras_faceattr.http.token import new_token
from keras_faceattr.measure.browser.results import results_folder, save_result
from keras_faceattr.terminal.console import say


@dataclass(frozen=True)
class DemoOptions:
    """Options of the command line.

    Attributes:
        host: None for this machine alone, or every network with https.
        tasks: that the page answers; none for all but the sensitive ones.
        results: folder for what phones send; None for the run, or the cache.
    """

    artifacts: list[Path]
    host: str | None
    port: int
    https: bool
    tasks: list[str]
    results: Path | None
    build: Path | None
    json: bool


@dataclass(frozen=True)
class Served:
    """A site that is served, and how to reach it; a `#token=…` at the end of an address allows sending results."""

    site: Site
    here: str
    there: str | None
    everywhere: bool
    port: int
    results: Path
    certificate: Path | None


def run_demo(options: DemoOptions) -> None:
    """Serve the page until Ctrl-C, or write it into a folder."""
    if options.build:
        _build(options.build, options)
        return
    host = options.host if options.host is not None else ANY if options.https else LOOPBACK
    with (
        ended_by_signals(),
        HttpServer(host, options.port) as server,
        tempfile.TemporaryDirectory(prefix="keras-faceattr-demo-") as folder,
    ):
        with suppress(KeyboardInterrupt):
            _serve(server, Path(folder) / "site", options)
        say("stopped: the process that started it has ended; nohup keeps it running" if server.orphaned else "stopped")


def _serve(server: HttpServer, folder: Path, options: DemoOptions) -> None:
    host, everywhere = server.host, server.host in ALL_ADDRESSES
    network = network_address() if everywhere else None if is_local(host) else host
    certificate = certificate_file([network] if network else []) if options.https else None
    site = build_site(folder, options.artifacts, post=True, tasks=options.tasks, say=say)
    token = new_token()
    urls = [
        f"{url_of(name, server.port, https=options.https)}#token={token}" if name else None
        for name in (LOOPBACK if everywhere else host, network)
    ]
    results = options.results or results_folder(site.models)
    served = Served(site, str(urls[0]), urls[1], everywhere, server.port, results, certificate)
    _announce(options, served)
    server.serve(demo_app(folder, host, token, _receiver(results, options.json)), certificate)


def _build(folder: Path, options: DemoOptions) -> None:
    site = build_demo(options.artifacts, folder, tasks=options.tasks)
    size = sum(path.stat().st_size for path in (folder / url for url in site.files))
    if options.json:
        print_json({"folder": str(folder), "version": site.version, "artifacts": site.names, "bytes": size})
        return
    for name in site.names:
        print(f"artifact  {name}")
    print(f"site      {folder}  {len(site.files)} files, {size / 1e6:.1f} MB")
    print(
        "\nCopy it to any static host with https. For threads, that host should send two headers: "
        "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.\n"
        f"To try it here: python -m http.server --bind 127.0.0.1 --directory {folder}"
    )


def _announce(options: DemoOptions, served: Served) -> None:
    """Print where the page is; the first line is for machines too."""
    site, proof = served.site, fingerprint(served.certificate) if served.certificate else None
    if options.json:
        row = {"url": served.here, "network_url": served.there, "version": site.version, "artifacts": site.names}
        _print(json_module.dumps({**row, "results": str(served.results), "certificate_sha256": proof}))
        return
    _print(f"serving {served.here}")
    if served.there:
        _print(f"network {served.there}")
        # Its colours would be noise in a log.
        if sys.stdout.isatty() and "utf" in sys.stdout.encoding.lower():
            _print(qr_code(served.there))
        _print("Everyone on that network can open the page, its models and their golden photos")
    elif served.everywhere:
        _print("no network interface: only this machine can open it")
    else:
        _print("only this machine can open it: --https lets phones on the network in")
    for name in site.names:
        _print(f"artifact {name}")
    _print(f"results {served.results}")
    if proof:
        _print(f"The browser will warn of a certificate that it does not know; its SHA-256 is {proof}")
    else:
        _print(
            "Over http the camera and threads work on localhost only. For a phone, start with --https; or connect it "
            f"by cable, run `adb reverse tcp:{served.port} tcp:{served.port}`, and open the first address there"
        )
    _print("Ctrl-C stops it")


def _receiver(folder: Path, json: bool) -> Callable[[bytes], str]:
    """Keep a result and say so."""

    def receive(body: bytes) -> str:
        path = save_result(body, folder)
        _print(json_module.dumps({"result": str(path)}) if json else f"result {path}")
        return path.name

    return receive


def _print(line: str) -> None:
    print(line, flush=True)
