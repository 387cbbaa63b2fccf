"""The one place where words from outside, addresses and tracebacks are cleaned before anybody sees them."""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import threading
import traceback
import unicodedata
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlencode, urlsplit

MASK = "***"
SHORT, LEAST = 8, 4
"""A secret of at least SHORT characters is masked anywhere, also in other cases and encodings; a shorter one
of at least LEAST only as a whole word, and not where it is one word of letters, such as `EMPTY`, which stands
for no key."""

_UNSEEN = {
    "Cc",
    "Cf",
    "Cs",
    "Co",
    "Zl",
    "Zp",
}  # control, format (bidi marks), surrogates, private, separators
_ESCAPES = re.compile(
    r"\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # a string for the terminal, such as a link or title
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, movements
    r"|\x1b[ -/]*[0-~]?"
)
_CREDENTIALS = re.compile(r"(?<=://)[^\s/?#@'\"]{1,500}@")
_QUERY = re.compile(
    r"([?&][\w.-]{0,40}(?:key|token|secret|signature|sig|passw|auth)[\w.-]{0,40}=)[^\s&#'\"]+", re.IGNORECASE
)
_known: set[str] = set()
_patterns: list[re.Pattern[str]] = []
_lock = threading.Lock()


def hide(*secrets: str) -> None:
    """Remember values that no text of `clean` shows from now on, in this process."""
    with _lock:
        _known.update(filter(None, secrets))
        long = {form for secret in _known if len(secret) >= SHORT for form in _forms(secret)}
        short = {secret for secret in _known if LEAST <= len(secret) < SHORT and not secret.isalpha()}
        _patterns[:] = [
            *_compiled(long, "{}", re.IGNORECASE),
            *_compiled(short, r"(?<![^\W_])(?:{})(?![^\W_])"),
        ]


def _compiled(values: set[str], around: str, flags: int = 0) -> Iterator[re.Pattern[str]]:
    if values:
        longest_first = sorted(values, key=lambda value: (-len(value), value))
        yield re.compile(around.format("|".join(map(re.escape, longest_first))), flags)


def _forms(secret: str) -> Iterator[str]:
    """A secret as it may stand in JSON, HTML, an address, a header or Python's own words."""
    said = json.dumps(secret)[1:-1]
    yield from (secret, said, said.replace("/", "\\/"), repr(secret)[1:-1], html.escape(secret))
    yield from (quote(secret), quote(secret, safe=""), quote_plus(secret))
    data = secret.encode()
    yield from (data.hex(), "".join(f"%{byte:02x}" for byte in data))
    yield "".join(f"\\u{ord(letter):04x}" for letter in secret)
    # Base64 has three forms, by where among other bytes the secret stands; letters shared with those are cut.
    for before, start in enumerate((0, 2, 3)):
        code = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        code = code[start : None if (before + len(data)) % 3 == 0 else -1]
        yield from (code, code.replace("+", "-").replace("/", "_"))


def clean(text: str) -> str:
    """Take secrets, escape sequences and characters that nobody sees out of a text; its lines stay.

    What is unseen goes first, so that it can't divide a secret. User and password of any address, and what
    its query holds under a name such as `api-key`, are masked as well.
    """
    text = "\n".join(
        line if line.isprintable() else "".join(filter(_seen, line))
        for line in _ESCAPES.sub("", text).splitlines()
    )
    for pattern in _patterns:
        text = pattern.sub(MASK, text)
    return _QUERY.sub(rf"\1{MASK}", _CREDENTIALS.sub(f"{MASK}@", text))


def _seen(letter: str) -> bool:
    return letter == "\t" or unicodedata.category(letter) not in _UNSEEN


def one_line(text: str) -> str:
    """As `clean`, white space folded."""
    return " ".join(clean(text).split())


def cleaned(value: Any) -> Any:
    """A JSON value, all of whose texts are cleaned."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [cleaned(each) for each in value]
    if isinstance(value, dict):
        return {clean(key): cleaned(each) for key, each in value.items()}
    return value


def clean_error(error: BaseException | None) -> None:
    """Clean the words of an error, and of those that it came from, in place."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.args = tuple(clean(each) if isinstance(each, str) else each for each in error.args)
        error = error.__cause__ or error.__context__


def traceback_text(error: BaseException) -> str:
    """A traceback, cleaned."""
    return clean("".join(traceback.format_exception(error)))


class CleanFormatter(logging.Formatter):
    """Writes cleaned records, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return clean(super().format(record))


def _named(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True)


def _secret(name: str) -> bool:
    """Whether what an address has under a name is masked: all but versions, such as Azure's."""
    return "version" not in name.lower()


def hide_url(url: str) -> None:
    """Remember the password and what else an address holds that is nobody's business."""
    parts = urlsplit(url)
    user, password = parts.username or "", parts.password or ""
    found = [f"{user}:{password}", password] if password else [user]
    found += [value for name, value in _named(parts.query) if _secret(name)]
    hide(*found, *map(unquote, found))


def shown_url(url: str) -> str:
    """An address as it may be shown: user, password and the query's values masked."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    values = [(name, MASK if _secret(name) else value) for name, value in _named(parts.query)]
    return clean(
        parts._replace(
            netloc=f"{MASK}@{host}" if host != parts.netloc else host, query=urlencode(values, safe="*")
        ).geturl()
    )
