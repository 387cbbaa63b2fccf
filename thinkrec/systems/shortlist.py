"""An encoder with a count, such as `lightgcn:200`: its best items are ranked."""

from __future__ import annotations

import difflib
import sys

from thinkrec.config.names import ENCODERS
from thinkrec.errors import RequestError

RETRIEVED = 200
"""Items that an encoder hands to a language model, where nobody says how many (our choice)."""
DIGITS = 9
"""Of the largest count; no data set has more items."""


def read_shortlist(text: str, called: str, count: int | None = None) -> tuple[str, int]:
    """Read an encoder and a count.

    Args:
        text: name of an encoder, a colon, a count.
        called: the option or key that gave it, for errors.
        count: of an encoder that stands alone; None: that is refused.

    Raises:
        RequestError: there is no such encoder, or the count is none.
    """
    name, _, given = text.partition(":")
    digits = given or str("" if count is None else count)
    if name not in ENCODERS or not digits.isdecimal():
        near = [] if name in ENCODERS else difflib.get_close_matches(name.lower()[:40], ENCODERS, n=1)
        hint = f"; did you mean {near[0]!r}? Encoders" if near else "; encoders"
        raise RequestError(
            f"{called}: {text[:80]!r} is not an encoder with a count, such as lightgcn:200{hint} are "
            f"{', '.join(ENCODERS)}"
        )
    number = int(digits) if len(digits) <= DIGITS else sys.maxsize
    if number < 1:
        raise RequestError(f"{called}: the count must be at least 1, not {digits}")
    return name, number
