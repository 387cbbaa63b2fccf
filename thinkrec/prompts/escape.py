"""Untrusted text stays text: it can't inject special tokens, template syntax, new lines or an answer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

TITLE = 200
"""Maximum length of a title in a prompt, in characters."""
VALUE = 60
"""Maximum length of a keyword, category or attribute value in a prompt, in characters (our choice)."""
_QUOTES = str.maketrans(dict.fromkeys('"“”„‟«»″‶\uff02❝❞〝〞〟ʺ״', "'"))
_OPEN, _CLOSE = "<\u2039\u25c1", ">\u203a\u25b7"
"""Angle brackets, their replacements in `teachers.text.sanitize`, and Kimi's."""
_ANGLE = rf"[{_OPEN}](?=[^\s{_OPEN}{_CLOSE}][^{_OPEN}{_CLOSE}]{{0,100}}[{_CLOSE}])"
_BAR = rf"[{_OPEN}\[](?=\|)|\|(?=[{_CLOSE}\]])"
_SQUARE = (r"\[(?=/?(?:inst|img|cls|sep|pad|mask|[gs]mask|unk|bos|eos|think|args|prefix|middle|suffix"
           r"|user|system|assistant|human|bot|unused\d+|round \d+|[a-z]+(?:_[a-z0-9]+)+)\])")  # fmt: skip
_OTHERS = r"\[(?=e~\[)|\](?=~)|>(?=>\w{1,40}<<)|#(?=##)"
_MARK = re.compile(rf"{_BAR}|{_ANGLE}|{_SQUARE}|{_OTHERS}", re.IGNORECASE)
"""First character of a marker by which a model family separates messages, such as <|...|>, </s>, <role>,
[INST], ]~b] or ###."""
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
    """Fold white space, drop invisible characters, and replace double quotes by apostrophes.

    Prompts put every untrusted text in double quotes on one line, so that cleaned text can neither close its
    quotation nor start a new line.
    """
    return tidy(text.translate(_QUOTES))


def tidy(text: str) -> str:
    """Fold white space and drop invisible characters; quotes stay."""
    folded = " ".join(unicodedata.normalize("NFC", text).split())
    visible = "".join(letter for letter in folded if unicodedata.category(letter) not in _INVISIBLE)
    # Composed again: dropping an invisible character may have joined two that compose.
    return " ".join(unicodedata.normalize("NFC", visible).split())


def folded(text: str) -> str:
    """Return a text in Unicode's NFKC, as a tokenizer may read it: a fullwidth comma is a comma."""
    return unicodedata.normalize("NFKC", text)


def bounded(text: str, most: int) -> str:
    """Clean a text and truncate it to `most` characters; a truncated text ends with three dots."""
    cleaned = clean_text(text[: 8 * most])  # reads no more than this of a text of megabytes
    return cleaned if len(cleaned) <= most else f"{cleaned[: most - 3].rstrip()}..."


def without(signs: re.Pattern[str], text: str, instead: str) -> str:
    """Replace every character that matches `signs`, as it is or folded by NFKC."""
    if not unicodedata.is_normalized("NFKC", text):
        text = "".join(instead if signs.search(folded(letter)) else letter for letter in text)
    return signs.sub(instead, text)


def without_structure(text: str) -> str:
    """Replace list punctuation, such as commas, colons and brackets, by spaces."""
    return " ".join(without(_STRUCTURE, text, " ").split())


def as_entry(value: str, safe: str) -> str:
    """Return one entry of a list.

    Args:
        value: the cleaned and truncated text.
        safe: the same without list punctuation, and without a tokenizer's special tokens if one is known.

    Returns:
        `safe`, in double quotes if the value had list punctuation or reads like a count.
    """
    bare = without_structure(value) == value and not _COUNT.search(folded(safe))
    return safe if bare or not safe else f'"{safe}"'


def listed(text: str, most: int = VALUE) -> str:
    """Return a keyword, category or attribute value as one entry of a list.

    List punctuation, such as commas, colons and brackets, becomes a space, and so does what a tokenizer may
    fold to it (NFKC). A value that had any, or that reads like a count (`9 of 9`), is put in double quotes;
    others stay bare. `Guard.entry` also breaks a tokenizer's special tokens.

    Returns:
        The entry, "" if nothing is left of the value.
    """
    value = bounded(text, most)
    return as_entry(value, without_structure(value))


def break_marks(text: str) -> str:
    """Put a space after the first character of every marker by which a model family separates messages.

    Markers in characters that NFKC folds to the same, such as fullwidth ones, count as well.
    """
    same = folded(text)
    if same != text and _MARK.search(same):
        text = tidy(same)
    return _MARK.sub(r"\g<0> ", text)


def break_tokens(text: str, tokens: Iterable[str]) -> str:
    """Put a space after the first character of every special token in a text.

    Args:
        text: untrusted text, cleaned.
        tokens: special and added tokens of the tokenizer, as text.

    Returns:
        The text without any of `tokens`.
    """
    # Surrounding space is stripped: adding another one would not break the token.
    stripped = {token.strip() for token in tokens}
    longest_first = sorted((token for token in stripped if len(token) > 1), key=len, reverse=True)
    changed = True
    while changed:
        changed = False
        for token in longest_first:
            if token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
                changed = True
    return text
