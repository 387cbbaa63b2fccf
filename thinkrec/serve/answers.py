"""How answers are written: JSON; errors as one sentence."""

from __future__ import annotations

import json

from pydantic import BaseModel
from starlette.responses import Response

JSON = "application/json"
GONE = 499
"""The status in log and metrics of a request whose client left before the answer."""

NO_ROUTE = "{}: /openapi.json describes the routes"
"""Error where no route has a path or method; in braces the status in words."""
RETRY = {"Retry-After": "1"}
"""Header of refusals for lack of room: seconds after which to ask again."""


def response(answer: BaseModel) -> Response:
    """Write an answer."""
    return Response(answer.model_dump_json(), media_type=JSON)


def error_response(status: int, error: str, **headers: str) -> Response:
    """Write an error, in ASCII: it may quote half a character of a request."""
    return Response(json.dumps({"error": error}), status, headers, JSON)
