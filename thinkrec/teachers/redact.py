"""The one place where words from outside, addresses and tracebacks are cleaned before anybody sees them."""

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
"""A secret of at least SHORT characters is masked anywhere, also in other cases and encodings; a shorter one
of at least LEAST only as a whole word, and not where it is one word of letters, such as `EMPTY`, which stands
for no key. Of a key, SHORT characters in a row are masked as well, wherever blanks stand between them."""

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
"""Up to the last @ before a path, where parsers cut."""
_QUERY = re.compile(r"([?#])((?:[^\s<>'\"]|['\"](?=\w))+)")
_LOOKED_BACK = 2000
"""Most characters of an address before its query."""
_WORDS = re.compile("[a-z]{1,12}(?:[-_. ][a-z]{1,12})*")
"""No key but a stand-in for one, such as `no-key-required`, whose parts are words like others."""
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_known: dict[str, bool] = {}
"""Secrets, and whether parts of one are masked as well."""
_patterns: list[re.Pattern[str]] = []
_parts: set[str] = set()
_lock = threading.Lock()


def hide(*secrets: str, parts: bool = True) -> None:
    """Remember values that no text of `clean` shows from now on, in this process; parts of them neither."""
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
    """All that is SHORT characters long in a text, small letters for capitals."""
    text = text.translate(_LOWER)
    return [text[start : start + SHORT] for start in range(len(text) - SHORT + 1)]


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

    What is unseen goes first, so that it can't divide a secret. User and password of any address, and all
    values of its query, are masked as well.
    """
    text = "\n".join(
        line if line.isprintable() else "".join(filter(_seen, line))
        for line in _ESCAPES.sub("", text).splitlines()
    )
    for pattern in _patterns:
        text = pattern.sub(MASK, text)
    return _QUERY.sub(_without_values, _CREDENTIALS.sub(f"{MASK}@", _without_parts(text)))


def _without_parts(text: str) -> str:
    """A text in which no part of a key is left, however blanks and line ends divide it."""
    if not _parts:
        return text
    places = [place for place, letter in enumerate(text) if not letter.isspace()]
    found: list[list[int]] = []
    for number, run in enumerate(_runs("".join(text.split()))):
        if run in _parts:
            start, end = places[number], places[number + SHORT - 1] + 1
            if found and start <= found[-1][1]:
                found[-1][1] = end
            else:
                found.append([start, end])
    for start, end in reversed(found):
        text = f"{text[:start]}{MASK}{text[end:]}"
    return text


def _without_values(found: re.Match[str]) -> str:
    """A query of an address, its values masked; anything else as it is."""
    before = re.split(r"\s", found.string[max(found.start() - _LOOKED_BACK, 0) : found.start()])[-1]
    query = "://" in before or (found[1] == "?" and "=" in found[2])
    return f"{found[1]}{masked_query(found[2])}" if query else found[0]


def _seen(letter: str) -> bool:
    return letter == "\t" or unicodedata.category(letter) not in _UNSEEN


def one_line(text: str) -> str:
    """As `clean`, white space folded."""
    return " ".join(clean(text).split())


def cleaned(value: Any) -> Any:
    """A JSON value, all of whose texts are cleaned, those in a text that is JSON itself as well."""
    if isinstance(value, str):
        return _cleaned_text(value)
    if isinstance(value, list):
        return [cleaned(each) for each in value]
    if isinstance(value, dict):
        return {clean(key): cleaned(each) for key, each in value.items()}
    return value


def _cleaned_text(text: str) -> str:
    """A text, cleaned; one that is JSON, such as a call's arguments, stays JSON."""
    if text.startswith(("{", "[")):
        with suppress(ValueError, RecursionError):
            shown = json.dumps(cleaned(json.loads(text)), ensure_ascii=False)
            return shown if shown.count(MASK) > text.count(MASK) else clean(text)
    return clean(text)


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


def hide_url(url: str) -> None:
    """Remember the password and what else an address holds that is nobody's business."""
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
    """An address as it may be shown: user, password and the query's values masked."""
    return clean(masked_address(url))
