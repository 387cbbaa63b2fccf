"""Explain errors of an endpoint, in the server's words, and name the parameter to change."""

from __future__ import annotations

import json
import re
from typing import Any

import openai

from thinkrec.config.models import BUDGET_FIELDS, Endpoint
from thinkrec.teachers.completion import NoAnswerError, printable, read_answer
from thinkrec.teachers.redact import cleaned, one_line

_ADVICE = {
    400: "the server refuses this request: check {section}.endpoint.model and the answer budgets",
    401: "set the environment variable {key} to a valid key",
    403: "set the environment variable {key} to a key that may use this model",
    404: "check {section}.endpoint.base_url (with its version, such as /v1) and {section}.endpoint.model",
    429: "lower {section}.endpoint.concurrency or wait",
}
_ADVICE[422] = _ADVICE[400]
_BUSY = "look into the server's log, or lower {section}.endpoint.concurrency"
_STRANGE = (
    "check that {section}.endpoint.base_url is an OpenAI-compatible address, with its version, or look into "
    "the server's log"
)
_SPENT = "the account has no quota left: look at the plan and billing behind the key in {key}"
_CODES = ("code", "status", "status_code", "type", "error")
_STATUSES = {
    402: "insufficient_?(?:balance|credits?|funds)|billing_|payment_?required",
    429: "rate_?limit|quota|exhausted|too_?many",
    401: "auth|api_?key",
    403: "permission|forbidden",
    404: "not_?found",
    400: "invalid|bad_?request|unsupported|context_?length",
    503: "overloaded|unavailable|timeout",
    500: "server_?error|internal",
}
_REFUSED = re.compile(
    r"(?:not|n't) (?:support|permit|allow|accept)|unsupported|extra|unrecogni[sz]ed|unknown|unexpected"
    r"|forbidden|deprecated|only the default",
    re.IGNORECASE,
)
_FIXED = re.compile(
    r"\btemperature\b[^.]{0,60}?\b(?:must|should|only|has to|needs to|range|between)\b"
    r"|\b(?:invalid|only)\b[^.]{0,20}\btemperature\b",
    re.IGNORECASE,
)
_BUDGET = r"\b(?:max_(?:completion_|new_|output_)?tokens|(?:completion|output) tokens)\b"
_BOUND = (
    r"(?:\btoo (?:large|high|big|many|long)|\bat most|\bmaximum|\bexceed|\bno more than|\bvalid range"
    r"|\brange of|\bless than|\bsmaller than)"
)
_TOO_LARGE = re.compile(rf"{_BUDGET}[^.]{{0,80}}?{_BOUND}|{_BOUND}[^.]{{0,60}}?{_BUDGET}", re.IGNORECASE)


def _codes(body: Any) -> list[str]:
    """Return all error codes under `code`, `status`, `type` and the like, the outermost first."""
    codes, inner = [], [body]
    for value in inner:  # grows during the loop
        if isinstance(value, dict):
            codes += [str(value[name]) for name in _CODES if isinstance(value.get(name), str | int)]
            inner += value.values()
        elif isinstance(value, list):
            inner += value
    return codes


def _status_inside(body: Any) -> int | None:
    """Return the HTTP status that a body states, as a number or in words, or None."""
    codes = _codes(body)
    numbers = [int(code) for code in codes if re.fullmatch(r"[45]\d\d", code)]
    words = [
        status
        for code in codes
        for status, kind in _STATUSES.items()
        if re.search(kind, code.replace(" ", "_"), re.IGNORECASE)
    ]
    return next(iter(numbers + words), None)


def _spent(body: Any) -> bool:
    """Return whether a body says that the account's quota is used up, so that retrying is pointless."""
    return any(
        re.search(f"insufficient_quota|{_STATUSES[402]}", code, re.IGNORECASE) for code in _codes(body)
    )


def look_inside(response: Any) -> None:
    """Set the status of an error that was sent with status 200; an event hook of httpx.

    The client then retries as it would with that status, or with 502 if the body states none. It does not
    retry if the account's quota is used up.
    """
    response.read()
    try:
        body = response.json()
    except (ValueError, RecursionError):
        body = response.text
    pointless = _spent(body)
    if response.is_success:
        try:
            read_answer(body)
            return
        except NoAnswerError as error:
            inside, holds = _status_inside(body), str(error)
        except RecursionError:
            inside, holds, body = None, "", response.text
        response.status_code = inside or 502
        if isinstance(body, str):
            fault = f"sent something that is not a chat completion ({_words(body)})"
        else:
            holds = f"error {inside} inside" if inside else holds
            fault = f"answered 200 with {holds} ({_words(body)})"
        response.extensions["fault"] = (fault, None if inside else _STRANGE)
    if pointless:
        response.headers["x-should-retry"] = "false"


def explain(error: openai.APIStatusError, endpoint: Endpoint) -> tuple[str, str]:
    """Return what an endpoint answered and what to do, the latter with the fields {section} and {key}."""
    what, advice = error.response.extensions.get("fault") or (
        f"answered {error.status_code} ({_words(error.body) if error.body else error.message})",
        None,
    )
    if error.status_code == 402 or _spent(error.body):
        advice = _SPENT
    elif error.status_code in (400, 422):
        advice = _setting(str(error.body), endpoint)
    return one_line(what), advice or _ADVICE.get(error.status_code, _BUSY)


def _setting(words: str, endpoint: Endpoint) -> str | None:
    """Return which parameters to change if the server's words refuse a field of the request, else None."""
    if _TOO_LARGE.search(words):
        return "lower {section}.endpoint.max_tokens and {section}.endpoint.max_tokens_limit"
    if _FIXED.search(words):
        return "set {section}.endpoint.temperature: null"
    if not _REFUSED.search(words):
        return None
    named = [field for field in BUDGET_FIELDS if re.search(rf"\b{field}\b", words)]
    other = next((field for field in named if field != endpoint.max_tokens_field), "null")
    changes = {
        endpoint.max_tokens_field: f"set {{section}}.endpoint.max_tokens_field: {other}",
        endpoint.seed_field: "set {section}.endpoint.seed_field: null",
        "temperature": "set {section}.endpoint.temperature: null",
    } | {field: f"take {field} out of {{section}}.endpoint.extra_body" for field in endpoint.extra_body}
    needed = [
        change
        for field, change in changes.items()
        if field and re.search(rf"\b{re.escape(field)}\b", words, re.IGNORECASE)
    ]
    return " and ".join(needed) or None


def _words(body: Any) -> str:
    """Return the server's message on one line, cleaned and only then truncated."""
    try:
        body = cleaned(printable(body))
    except RecursionError:
        return "JSON nested too deeply"
    if isinstance(body, list) and body:  # Gemini wraps errors in a list
        body = body[0]
    while isinstance(body, dict) and (inner := body.get("error") or body.get("message")):
        body = inner
    message = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return one_line(message)[:200]
