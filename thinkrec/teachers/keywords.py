"""The rules for keywords, the same for every extractor: no numbers, no boilerplate, no duplicates."""

from __future__ import annotations

from collections.abc import Iterable

from thinkrec.teachers.text import sanitize

# Words about the source of a text, not about the item (spec: "the store's and category's own name").
_SHOPS = ("amazon", "goodreads", "imdb", "kindle", "movielens", "yelp")
_DEBRIS = (
    "amp",
    "asin",
    "com",
    "edition",
    "hardcover",
    "href",
    "html",
    "http",
    "https",
    "isbn",
    "nbsp",
    "www",
)
BOILERPLATE = frozenset((*_SHOPS, *_DEBRIS, "paperback", "quot"))
MOST_WORDS = 4


def boilerplate(dataset: str) -> frozenset[str]:
    """Return the words to exclude for a data set: boilerplate and its own name, singular and plural."""
    return BOILERPLATE | {dataset, dataset.rstrip("s"), f"{dataset}s"}


def is_keyword(phrase: str, unwanted: frozenset[str]) -> bool:
    """Return whether a lower-case phrase may be a keyword: it has a letter, is short and not boilerplate."""
    words = phrase.split()
    return (
        any(letter.isalpha() for letter in phrase)
        and 1 <= len(words) <= MOST_WORDS
        and not all(word in unwanted for word in words)
    )


def tidy(phrases: Iterable[str], unwanted: frozenset[str], most: int) -> list[str]:
    """Clean, lower-case, filter and deduplicate phrases, and return the first `most`."""
    keywords: dict[str, None] = {}
    for phrase in phrases:
        if len(keywords) == most:
            break
        word = sanitize(phrase).lower().strip(" .,;:!?*#'`-_•()")
        if is_keyword(word, unwanted):
            keywords.setdefault(word)
    return list(keywords)
