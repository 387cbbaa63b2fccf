"""Parsing of lists of texts in table cells, as written by JSON, Python or NumPy."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

NAMES = ("name", "title", "label")
"""Keys of an object that may hold its name."""
MAX_CHARACTERS = 100_000
"""Maximum length of a list."""
_UNSEPARATED = re.compile(r"""(?<=['"])\s+(?=['"])""")
_NUMPY = re.compile(r"""\[\s*(?:'[^',]*'|"[^",]*")(?:\s+(?:'[^',]*'|"[^",]*"))+\s*\]""")
_NAN = re.compile(r"(?<=[\[(,])\s*nan\s*(?=[\]),])")


def listed(text: str | None) -> list[str] | None:
    """Parse a list of texts or of objects with names, or one such object; nested lists are flattened.

    Returns:
        Non-empty texts and names; None if it is not such a list.
    """
    if text is None or len(text) > MAX_CHARACTERS:
        return None
    try:
        return list(_texts(_value(text.strip())))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _value(text: str) -> Any:
    if not text.startswith(("[", "(", "{")):
        raise ValueError("not a list")
    try:
        return json.loads(text)
    except ValueError:
        text = _NAN.sub("None", text)
        return ast.literal_eval(_UNSEPARATED.sub(", ", text) if _NUMPY.fullmatch(text) else text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from _texts(next((value[name] for name in NAMES if value.get(name)), None))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, set):
        yield from _texts(sorted(value, key=str))
    elif value is not None and value == value and str(value).strip():
        yield str(value).encode("utf-8", "replace").decode("utf-8")
