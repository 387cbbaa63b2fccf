"""Lists of texts that a table holds as text, as JSON, Python or numpy write them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

NAMES = ("name", "title", "label")
"""Under one of these an object's name stands."""
LONGEST = 100_000
"""Characters of a list that are looked at."""
_UNSEPARATED = re.compile(r"""(?<=['"])\s+(?=['"])""")
_NUMPY = re.compile(r"""\[\s*(?:'[^',]*'|"[^",]*")(?:\s+(?:'[^',]*'|"[^",]*"))+\s*\]""")
_NAN = re.compile(r"(?<=[\[(,])\s*nan\s*(?=[\]),])")


def listed(text: str | None) -> list[str] | None:
    """Read a list, or a single object, of texts or of objects with names; nested ones become one list.

    Returns:
        Its texts and names, empty ones and what has no name left out; None where it is no such list.
    """
    if text is None or len(text) > LONGEST:
        return None
    try:
        return list(_texts(_value(text.strip())))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _value(text: str) -> Any:
    if not text.startswith(("[", "(", "{")):
        raise ValueError("no list")
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
