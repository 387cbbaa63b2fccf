"""The one place where external messages, addresses and tracebacks are cleaned before they are shown."""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import string
import threading
import traceback
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit

from thinkrec.config.secrets import MASK, is_version, key_like, masked_address, masked_query, names_credential

SHORT, LEAST = 8, 4
"""A secret of at least SHORT characters is masked anywhere, in any case and encoding. A shorter one of at
least LEAST characters is masked only as a whole word, and not if it has letters only, such as the placeholder
`EMPTY`. Any SHORT consecutive characters of a key are masked as well, even with blanks in between."""

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
_CREDENTIALS = re.compile(r"(?:(?<=://)|(?<=:\\/\\/))[^\s/?#]+@")
"""User and password of an address: up to the last @ before the path, as parsers split it."""
_QUERY = re.compile(r"([?#])((?:[^\s<>'\"]|['\"](?=\w))+)")
_LOOKBEHIND = 2000
"""Maximum length of an address before its query, in characters."""
_WORDS = re.compile("[a-z]{1,12}(?:[-_. ][a-z]{1,12})*")
"""A placeholder instead of a key, such as `no-key-required`, whose parts are ordinary words."""
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_known: dict[str, bool] = {}
"""Secrets, and whether parts of each are masked as well."""
_patterns: list[re.Pattern[str]] = []
_parts: set[str] = set()
_lock = threading.Lock()


def hide(*secrets: str, parts: bool = True) -> None:
    """Register values that `clean` masks from now on in this process, with their parts if `parts`."""
    with _lock:
        _known.update({secret: parts or _known.get(secret, False) for secret in secrets if secret})
        long = {form for secret in _known if len(secret) >= SHORT for form in _forms(secret)}
        short = {secret for secret in _known if LEAST <= len(secret) < SHORT and not secret.isalpha()}
        _patterns[:] = [
            *_compiled(long, "{}", re.IGNORECASE),
            *_compiled(short, r"(?<![^\W_])(?:{})(?![^\W_])"),
        ]
        keys = [secret for secret, parted in _known.items() if parted and not _WORDS.fullmatch(secret)]
        _parts.clear()
        _parts.update(part for key in keys for part in _runs("".join(key.split())))


def _runs(text: str) -> list[str]:
    """Return all substrings of SHORT characters, in lower case."""
    text = text.translate(_LOWER)
    return [text[start : start + SHORT] for start in range(len(text) - SHORT + 1)]


def _compiled(values: set[str], around: str, flags: int = 0) -> Iterator[re.Pattern[str]]:
    if values:
        longest_first = sorted(values, key=lambda value: (-len(value), value))
        yield re.compile(around.format("|".join(map(re.escape, longest_first))), flags)


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it may be encoded in JSON, HTML, an address, a header or Python's repr."""
    escaped = json.dumps(secret)[1:-1]
    yield from (secret, escaped, escaped.replace("/", "\\/"), repr(secret)[1:-1], html.escape(secret))
    yield from (quote(secret), quote(secret, safe=""), quote_plus(secret))
    data = secret.encode()
    yield from (data.hex(), "".join(f"%{byte:02x}" for byte in data))
    yield "".join(f"\\u{ord(letter):04x}" for letter in secret)
    # Base64 depends on the secret's offset modulo 3; characters shared with neighbouring bytes are cut.
    for before, start in enumerate((0, 2, 3)):
        code = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        code = code[start : None if (before + len(data)) % 3 == 0 else -1]
        yield from (code, code.replace("+", "-").replace("/", "_"))


def clean(text: str) -> str:
    """Remove secrets, escape sequences and invisible characters from a text; line breaks stay.

    Invisible characters are removed first, so that they can't split a secret. User and password of any
    address, and all values of its query, are masked as well.
    """
    text = "\n".join(
        line if line.isprintable() else "".join(filter(_seen, line))
        for line in _ESCAPES.sub("", text).splitlines()
    )
    for pattern in _patterns:
        text = pattern.sub(MASK, text)
    return _QUERY.sub(_without_values, _CREDENTIALS.sub(f"{MASK}@", _without_parts(text)))


def _without_parts(text: str) -> str:
    """Mask all parts of keys, even if blanks or line breaks split them."""
    if not _parts:
        return text
    places = [place for place, letter in enumerate(text) if not letter.isspace()]
    spans: list[list[int]] = []
    for number, run in enumerate(_runs("".join(text.split()))):
        if run in _parts:
            start, end = places[number], places[number + SHORT - 1] + 1
            if spans and start <= spans[-1][1]:
                spans[-1][1] = end
            else:
                spans.append([start, end])
    for start, end in reversed(spans):
        text = f"{text[:start]}{MASK}{text[end:]}"
    return text


def _without_values(match: re.Match[str]) -> str:
    """Mask the values of an address's query; return anything else unchanged."""
    before = re.split(r"\s", match.string[max(match.start() - _LOOKBEHIND, 0) : match.start()])[-1]
    query = "://" in before or (match[1] == "?" and "=" in match[2])
    return f"{match[1]}{masked_query(match[2])}" if query else match[0]


def _seen(letter: str) -> bool:
    return letter == "\t" or unicodedata.category(letter) not in _UNSEEN


def one_line(text: str) -> str:
    """Clean a text and fold its white space."""
    return " ".join(clean(text).split())


def cleaned(value: Any) -> Any:
    """Clean all texts of a JSON value, including those within texts that are JSON themselves."""
    if isinstance(value, str):
        return _cleaned_text(value)
    if isinstance(value, list):
        return [cleaned(each) for each in value]
    if isinstance(value, dict):
        return {clean(key): cleaned(each) for key, each in value.items()}
    return value


def _cleaned_text(text: str) -> str:
    """Clean a text; one that is JSON, such as a call's arguments, stays JSON."""
    if text.startswith(("{", "[")):
        with suppress(ValueError, RecursionError):
            masked = json.dumps(cleaned(json.loads(text)), ensure_ascii=False)
            return masked if masked.count(MASK) > text.count(MASK) else clean(text)
    return clean(text)


def clean_error(error: BaseException | None) -> None:
    """Clean the messages of an error and of its causes, in place."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.args = tuple(clean(each) if isinstance(each, str) else each for each in error.args)
        error = error.__cause__ or error.__context__


def traceback_text(error: BaseException) -> str:
    """Return a cleaned traceback."""
    return clean("".join(traceback.format_exception(error)))


class CleanFormatter(logging.Formatter):
    """Formats log records, tracebacks included, and cleans them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the cleaned record as text."""
        return clean(super().format(record))


def hide_url(url: str) -> None:
    """Register the credentials that an address contains."""
    parts = urlsplit(url)
    user, password = parts.username or "", parts.password or ""
    whole, keys = [f"{user}:{password}" if password else user], [password]
    for piece in re.split("[&;]", parts.query):
        name, _, value = piece.rpartition("=")
        if not is_version(name, value):
            (keys if key_like(value) or names_credential(name) else whole).append(value)
    hide(*whole, *map(unquote, whole), *map(unquote_plus, whole), parts=False)
    hide(*keys, *map(unquote, keys), *map(unquote_plus, keys))


def shown_url(url: str) -> str:
    """Return an address with user, password and the query's values masked."""
    return clean(masked_address(url))
