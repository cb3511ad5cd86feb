"""An app of routes whose every answer, refusals and mistakes of ours included, is safe to send to a network."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from keras_faceattr.errors import FaceAttrError
from keras_faceattr.http.guard import Guard, Limits, error


def build_app(routes: Sequence[BaseRoute], limits: Limits) -> ASGIApp:
    """An ASGI app behind a `Guard`.

    A `FaceAttrError` of a route is answered 400 with its line, any other exception 500 without details, which are
    printed here.
    """
    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: _http_error, FaceAttrError: _users_error, Exception: _own_error},
    )
    app.router.redirect_slashes = False
    return Guard(app, limits)


async def _http_error(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    text = "nothing has this address here" if problem.status_code == 404 else problem.detail
    return error(problem.status_code, text, **(problem.headers or {}))


async def _users_error(request: Request, problem: Exception) -> Response:
    return error(400, " ".join(str(problem).split()))


async def _own_error(request: Request, problem: Exception) -> Response:
    print(f"request failed: {type(problem).__name__}: {problem}", file=sys.stderr, flush=True)
    return error(500, "the server made a mistake: its terminal says more")
