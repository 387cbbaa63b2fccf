"""Text from outside is only text: it can't carry special tokens, template syntax, lines or an answer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

TITLE = 200
"""Most characters of a title that a prompt shows."""
VALUE = 60
"""Most characters of a keyword, category or attribute value that a prompt shows (our choice)."""
_QUOTES = str.maketrans(dict.fromkeys('"“”„‟«»″‶\uff02❝❞〝〞〟ʺ״', "'"))
_OPEN, _CLOSE = "<\u2039\u25c1", ">\u203a\u25b7"
"""Angle brackets; with those that `teachers.text.plain` puts in their place, and Kimi's."""
_ANGLE = rf"[{_OPEN}](?=[^\s{_OPEN}{_CLOSE}][^{_OPEN}{_CLOSE}]{{0,100}}[{_CLOSE}])"
_BAR = rf"[{_OPEN}\[](?=\|)|\|(?=[{_CLOSE}\]])"
_SQUARE = (r"\[(?=/?(?:inst|img|cls|sep|pad|mask|[gs]mask|unk|bos|eos|think|args|prefix|middle|suffix"
           r"|user|system|assistant|human|bot|unused\d+|round \d+|[a-z]+(?:_[a-z0-9]+)+)\])")  # fmt: skip
_OTHERS = r"\[(?=e~\[)|\](?=~)|>(?=>\w{1,40}<<)|#(?=##)"
_MARK = re.compile(rf"{_BAR}|{_ANGLE}|{_SQUARE}|{_OTHERS}", re.IGNORECASE)
"""First character of what model families part messages with: <|...|>, </s>, <role>, [INST], ]~b], ###."""
_STRUCTURE = re.compile(r"[()\[\]{}<>,;:=|%]")
_COUNT = re.compile(r"\bof\s+\d")
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
    return _tidy(text.translate(_QUOTES))


def _tidy(text: str) -> str:
    """Fold white space and drop characters that nobody sees."""
    folded = " ".join(unicodedata.normalize("NFC", text).split())
    seen = "".join(letter for letter in folded if unicodedata.category(letter) not in _INVISIBLE)
    # Composed again, since letters may have met that an unseen one kept apart.
    return " ".join(unicodedata.normalize("NFC", seen).split())


def folded(text: str) -> str:
    """A text as a tokenizer may read it: by Unicode's NFKC, in which a fullwidth comma is a comma."""
    return unicodedata.normalize("NFKC", text)


def bounded(text: str, most: int) -> str:
    """Clean a text and cut it to `most` characters, the last three of them dots where it was longer."""
    cleaned = clean_text(text[: 8 * most])  # of a text of megabytes no more is looked at
    return cleaned if len(cleaned) <= most else f"{cleaned[: most - 3].rstrip()}..."


def without(signs: re.Pattern[str], text: str, instead: str) -> str:
    """Replace every letter that is, or is folded to, one of some signs."""
    if not unicodedata.is_normalized("NFKC", text):
        text = "".join(instead if signs.search(folded(letter)) else letter for letter in text)
    return signs.sub(instead, text)


def without_structure(text: str) -> str:
    """Put a blank in place of what lists are made of, such as commas, colons and brackets."""
    return " ".join(without(_STRUCTURE, text, " ").split())


def as_entry(value: str, shown: str) -> str:
    """One entry of a list.

    Args:
        value: what it says, cleaned and cut.
        shown: the same without structure, and without a tokenizer's own tokens where one is known.

    Returns:
        `shown`, between double quotes where the value held structure or where it reads like a count.
    """
    bare = without_structure(value) == value and not _COUNT.search(folded(shown))
    return shown if bare or not shown else f'"{shown}"'


def listed(text: str, most: int = VALUE) -> str:
    """A keyword, category or attribute value as one entry of a list.

    What lists are made of, such as commas, colons and brackets, becomes a space. A value that held some of
    it, or that reads like a count (`9 of 9`), is put into double quotes; ordinary values stay bare. All that
    a tokenizer may fold to such a sign (NFKC) counts as it. `Guard.entry` also breaks a tokenizer's tokens.

    Returns:
        The value, "" where nothing is left of it.
    """
    cut = bounded(text, most)
    return as_entry(cut, without_structure(cut))


def break_marks(text: str) -> str:
    """Put a space behind the first character of every mark by which some family of models parts messages.

    Marks in characters that count as the same in Unicode's NFKC, such as fullwidth ones, are marks as well.
    """
    same = folded(text)
    if same != text and _MARK.search(same):
        text = _tidy(same)
    return _MARK.sub(r"\g<0> ", text)


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
