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
_WIDE = ("<(?=/?(?:s|sys|bos|eos|pad|unk|mask|sep|cls|sop|eop|tools?|think|thinking|0x[0-9a-f]{2}"
         r"|unused\d+|reserved\d*|[a-z][a-z0-9]*(?:[_:][a-z0-9]+)+)>)")  # fmt: skip
_SQUARE = (r"\[(?=/?(?:inst|img|cls|sep|pad|mask|[gs]mask|unk|bos|eos|think|args|prefix|middle|suffix"
           r"|[a-z]+(?:_[a-z0-9]+)+)\])")  # fmt: skip
_MARK = re.compile(rf"[<\[](?=\|)|\|(?=[>\]])|{_WIDE}|{_SQUARE}", re.IGNORECASE)
"""First character of what model families part messages with: <|...|>, </s>, <end_of_turn>, [INST]."""
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
    folded = " ".join(unicodedata.normalize("NFC", text).split())
    seen = "".join(letter for letter in folded if unicodedata.category(letter) not in _INVISIBLE)
    # Composed again, since letters may have met that an unseen one kept apart.
    return " ".join(unicodedata.normalize("NFC", seen.translate(_QUOTES)).split())


def bounded(text: str, most: int) -> str:
    """Clean a text and cut it to `most` characters, the last three of them dots where it was longer."""
    cleaned = clean_text(text[: 8 * most])  # of a text of megabytes no more is looked at
    return cleaned if len(cleaned) <= most else f"{cleaned[: most - 3].rstrip()}..."


def listed(text: str, most: int = VALUE) -> str:
    """A keyword, category or attribute value as one entry of a list.

    What lists are made of, such as commas, colons and brackets, becomes a space. A value that held some of
    it, or that reads like a count (`9 of 9`), is put into double quotes; ordinary values stay bare.

    Returns:
        The value, "" where nothing is left of it.
    """
    cut = bounded(text, most)
    plain = " ".join(_STRUCTURE.sub(" ", cut).split())
    return plain if plain == cut and not _COUNT.search(plain) else f'"{plain}"' if plain else ""


def break_marks(text: str) -> str:
    """Put a space behind the first character of every mark by which some family of models parts messages.

    Marks in characters that count as the same in Unicode's NFKC, such as fullwidth ones, are marks as well.
    """
    folded = unicodedata.normalize("NFKC", text)
    if folded != text and _MARK.search(folded):
        text = clean_text(folded)
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
