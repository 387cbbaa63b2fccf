"""Text from outside is only text: it can't carry special tokens, template syntax, lines or an answer."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_QUOTES = str.maketrans({'"': "'", "“": "'", "”": "'", "„": "'", "«": "'", "»": "'", "″": "'"})
_INVISIBLE = {
    "Cc",
    "Cf",
    "Co",
    "Cs",
    "Zl",
    "Zp",
}  # control, format (bidi marks), private, surrogate, separators


def clean_text(text: str) -> str:
    """Fold white space, drop characters that nobody sees, and replace double quotes by apostrophes.

    Prompts put every outside text between double quotes on one line, so that what is cleaned can
    neither end its quotation nor begin a line of its own.
    """
    folded = " ".join(unicodedata.normalize("NFC", text).split())
    seen = "".join(letter for letter in folded if unicodedata.category(letter) not in _INVISIBLE)
    # Composed again, since letters may have met that an unseen one kept apart.
    return " ".join(unicodedata.normalize("NFC", seen.translate(_QUOTES)).split())


def break_tokens(text: str, tokens: Iterable[str]) -> str:
    """Put a space behind the first character of every occurrence of a tokenizer's special token.

    Args:
        text: text from outside, cleaned.
        tokens: special and added tokens of the tokenizer, as text.

    Returns:
        Text in which none of `tokens` occurs any more.
    """
    # Without the space around a token, since to add another one there would not break it.
    stripped = {token.strip() for token in tokens}
    longest_first = sorted((token for token in stripped if len(token) > 1), key=len, reverse=True)
    found = True
    while found:
        found = False
        for token in longest_first:
            if token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
                found = True
    return text
