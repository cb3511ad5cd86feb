"""The demo as an app: the files of a built site, and a door for the results that phones send."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from keras_faceattr.demo.contents import Content, Contents
from keras_faceattr.demo.vendor import SHA256
from keras_faceattr.errors import DemoError
from keras_faceattr.http.app import build_app
from keras_faceattr.http.guard import Limits, error
from keras_faceattr.measure.browser.results import MAX_BYTES

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

HEADERS = {
    # Both together isolate the page, which threads need.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": "camera=(self)",
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}

RESULTS = "/results"

Receive = Callable[[bytes], str]
"""Takes the body of a result and returns the name under which it was kept; raises FaceAttrError if it is no result."""


def demo_app(site: Path, host: str, token: str | None = None, receive: Receive | None = None) -> ASGIApp:
    """An app that serves a built site: the files that are there now, and nothing else.

    Args:
        host: on which it is served, as `http.guard.Limits` takes it.
        token: that a result must come with.
        receive: takes results, one at a time; without it, or without a token, none are taken.
    """
    contents = Contents(site, {f"/vendor/litert/{name}": digest for name, digest in SHA256.items()})
    threading.Thread(target=contents.warm, daemon=True).start()
    routes = [Route("/{path:path}", _Files(contents).answer, methods=["GET"])]
    if receive and token:
        routes.insert(0, Route(RESULTS, _Results(receive).answer, methods=["POST"]))
    return build_app(routes, Limits(host, token if receive else None, MAX_BYTES, headers=HEADERS))


class _Files:
    def __init__(self, contents: Contents) -> None:
        self.contents = contents

    async def answer(self, request: Request) -> Response:
        path = self.contents.paths.get(f"/{request.path_params['path']}")
        if path is None:
            raise HTTPException(404)
        try:
            content = self.contents.current(path)
            if content is None:
                content = await run_in_threadpool(self.contents.get, path)
        except OSError:
            raise HTTPException(404) from None
        except DemoError as problem:
            return error(500, str(problem))
        if _has(request, content):
            return Response(status_code=304, headers={"ETag": content.tag})
        headers = {"ETag": content.tag, "Content-Type": content.type}
        if content.packed is None or not takes_gzip(request.headers.get("accept-encoding", "")):
            return Response(content.plain, headers=headers)
        return Response(content.packed, headers={**headers, "Content-Encoding": "gzip"})


class _Results:
    def __init__(self, receive: Receive) -> None:
        self.receive, self.receiving = receive, threading.Lock()

    async def answer(self, request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return error(415, "a result is application/json")
        name = await run_in_threadpool(self._take, await request.body())
        return JSONResponse({"name": name}, 201)

    def _take(self, body: bytes) -> str:
        with self.receiving:
            return self.receive(body)


def _has(request: Request, content: Content) -> bool:
    """Return whether the client has this content, by its If-None-Match."""
    tags = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return "*" in tags or content.tag.removeprefix("W/") in tags


def takes_gzip(accepted: str) -> bool:
    """Return whether an Accept-Encoding header allows gzip."""
    for entry in accepted.lower().split(","):
        name, _, quality = entry.partition(";")
        if name.strip() in ("gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
