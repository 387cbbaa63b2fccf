"""The connection to an endpoint; its key and the credentials in its address stay secret."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import openai

from thinkrec.config.models import Endpoint
from thinkrec.config.secrets import credentials
from thinkrec.errors import ConfigError
from thinkrec.teachers.redact import hide, hide_url, one_line


def connect(endpoint: Endpoint, section: str, hook: Callable[[Any], None]) -> openai.OpenAI:
    """Create the client; nothing is sent yet.

    Args:
        endpoint: address, environment variable of the key, timeout and retries.
        section: the section of params.yaml that contains `endpoint`, for errors.
        hook: called with each response.

    Raises:
        ConfigError: the key or the address can't be used.
    """
    hide_url(endpoint.base_url)
    hide(*credentials(endpoint.extra_body))
    # A local server needs no key, but the package requires one.
    key = read_key(endpoint.key_variable) or "none"
    parts = urlsplit(endpoint.base_url)
    try:
        return openai.OpenAI(
            base_url=parts._replace(query="").geturl(), api_key=key, timeout=endpoint.timeout,
            default_query=dict(parse_qsl(parts.query, keep_blank_values=True)) or None,
            max_retries=endpoint.retries,
            http_client=openai.DefaultHttpxClient(event_hooks={"response": [hook]}),
        )  # fmt: skip
    except Exception as error:  # a bad address; the exception type depends on the package's version
        raise ConfigError(
            f"{section}.endpoint.base_url in params.yaml, or the address of a proxy in HTTP_PROXY, "
            f"HTTPS_PROXY or ALL_PROXY, can't be used ({one_line(str(error))}): correct it"
        ) from error


def read_key(variable: str) -> str:
    """Read the key without surrounding white space, "" if it is not set.

    Raises:
        ConfigError: it contains a character that is not allowed in a header.
    """
    key = os.environ.get(variable, "").strip()
    hide(key, *key.split())
    wrong = next((letter for letter in key if not "!" <= letter <= "~"), None)
    if wrong is not None:
        kinds = {"\n": "a line end", "\r": "a line end", " ": "a blank", "\t": "a tab"}
        other = "a control character" if wrong < " " or wrong == "\x7f" else "a character outside ASCII"
        raise ConfigError(
            f"the environment variable {variable} holds {kinds.get(wrong, other)} within the key, which "
            "can't be sent: set it to the key alone"
        )
    return key
