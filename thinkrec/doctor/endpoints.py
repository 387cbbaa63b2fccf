"""The chat endpoints that the chosen teachers and the agent use."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from thinkrec.doctor.finding import Case, Finding, note, ok, problem, split
from thinkrec.doctor.weights import PATIENCE

if TYPE_CHECKING:
    from thinkrec.config.models import Endpoint
    from thinkrec.config.sections import Params

GROUP = "endpoints"
_LOCAL = ("localhost", "127.0.0.1", "::1")
_REFUSED = (401, 403)


def used(params: Params) -> dict[str, Endpoint]:
    """Return the endpoints that stages will ask, by their sections."""
    sections = {
        "summarize": (params.summarize.extractor == "endpoint", params.summarize.endpoint),
        "synthesize": (params.synthesize.teacher == "endpoint", params.synthesize.endpoint),
        "trajectories": (
            bool(params.agents) and params.trajectories.source == "endpoint",
            params.trajectories.endpoint,
        ),
    }
    return {section: endpoint for section, (asked, endpoint) in sections.items() if asked}


def endpoints(case: Case) -> Iterator[Finding]:
    """Ask each endpoint in use which models it has, all at once."""
    found = used(case.given)
    if not found:
        yield ok("no teacher, extractor or agent of params.yaml uses an endpoint")
    answers: dict[str, Finding] = {}

    def ask(section: str, endpoint: Endpoint) -> None:
        try:
            answers[section] = _asked(section, endpoint)
        except Exception as error:  # whatever a server can do to a client
            what = f"{section}.endpoint can't be asked ({type(error).__name__}: {error})"
            answers[section] = problem(what, f"correct {section}.endpoint in params.yaml")

    threads: dict[str, threading.Thread] = {}
    for section, endpoint in found.items():
        if fault := _key_fault(section, endpoint, case.network):
            yield fault
        elif case.network:
            threads[section] = threading.Thread(target=ask, args=(section, endpoint), daemon=True)
            threads[section].start()
        else:
            yield ok(f"{section}.endpoint {_shown(endpoint)}: not asked")
    until = time.monotonic() + PATIENCE + 1
    for section, thread in threads.items():
        thread.join(max(until - time.monotonic(), 0))
        yield answers.get(section) or _silent(section, found[section])


def _shown(endpoint: Endpoint) -> str:
    from thinkrec.teachers.redact import shown_url

    return shown_url(endpoint.base_url)


def _key_fault(section: str, endpoint: Endpoint, network: bool) -> Finding | None:
    """Check the environment variable of the key, as far as that is possible without asking."""
    from thinkrec.errors import ConfigError
    from thinkrec.teachers.connection import read_key

    try:
        key = read_key(endpoint.key_variable)
    except ConfigError as error:
        return problem(*split(str(error)))
    if not key and not network and urlsplit(endpoint.base_url).hostname not in _LOCAL:
        return note(
            f"{section}.endpoint {_shown(endpoint)}: {endpoint.key_variable} is not set",
            f"set the environment variable {endpoint.key_variable} to the key, if the server wants one",
        )
    return None


def _silent(section: str, endpoint: Endpoint) -> Finding:
    return problem(
        f"{section}.endpoint {_shown(endpoint)} does not answer within {PATIENCE:g} s",
        f"start the server, or correct {section}.endpoint.base_url in params.yaml",
    )


def _asked(section: str, endpoint: Endpoint) -> Finding:
    """Ask an endpoint for its models, with the key, as the stages would."""
    import openai

    from thinkrec.teachers.connection import connect

    quick = endpoint.model_copy(update={"timeout": PATIENCE, "retries": 0})
    where = f"{section}.endpoint {_shown(endpoint)}"
    try:
        with connect(quick, section, lambda _: None) as client:
            models = [model.id for model in client.models.list().data or []]
    except openai.APITimeoutError:
        return _silent(section, endpoint)
    except openai.APIConnectionError:
        return problem(
            f"{where} cannot be reached",
            f"start the server, or correct {section}.endpoint.base_url in params.yaml",
        )
    except openai.APIStatusError as error:
        return _refused(where, endpoint, error.status_code)
    if models and endpoint.model not in models:
        named = ", ".join(models[:5]) + (", ..." if len(models) > 5 else "")
        return problem(
            f"{where} has no model {endpoint.model}; it has {named}",
            f"set {section}.endpoint.model in params.yaml to one of these, or serve that model",
        )
    key = "is set" if os.environ.get(endpoint.key_variable) else "is not set, and not needed"
    return ok(f"{where} answers; {endpoint.key_variable} {key}")


def _refused(where: str, endpoint: Endpoint, status: int) -> Finding:
    if status in _REFUSED:
        state = "is not accepted" if os.environ.get(endpoint.key_variable) else "is not set"
        return problem(
            f"{where} answers {status}: the key in {endpoint.key_variable} {state}",
            f"set the environment variable {endpoint.key_variable} to a valid key",
        )
    if status < 500:
        return note(f"{where} answers, but names no models (status {status})")
    return problem(f"{where} answers {status}", "look into the server's log")
