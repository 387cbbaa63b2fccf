"""What makes a keyword: no number, no boilerplate, no duplicate. The same rules for every extractor."""

from __future__ import annotations

from collections.abc import Iterable

from thinkrec.teachers.text import plain

# Words that say where a text comes from, not what the item is (spec: "the store's and category's own name").
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
    """Words to leave out for a data set: the common ones and its own name, singular and plural."""
    return BOILERPLATE | {dataset, dataset.rstrip("s"), f"{dataset}s"}


def is_keyword(phrase: str, unwanted: frozenset[str]) -> bool:
    """Tell whether a lower-case phrase may be a keyword: a letter in it, short, and not all boilerplate."""
    words = phrase.split()
    return (
        any(letter.isalpha() for letter in phrase)
        and 1 <= len(words) <= MOST_WORDS
        and not all(word in unwanted for word in words)
    )


def tidy(phrases: Iterable[str], unwanted: frozenset[str], most: int) -> list[str]:
    """Clean, lower-case, filter and deduplicate phrases, and keep the first `most`."""
    found: dict[str, None] = {}
    for phrase in phrases:
        if len(found) == most:
            break
        word = plain(phrase).lower().strip(" .,;:!?*#'`-_•()")
        if is_keyword(word, unwanted):
            found.setdefault(word)
    return list(found)
