"""Keywords of an item that prompts, teachers and measures show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from thinkrec.prompts.escape import TITLE, bounded

_WORD = re.compile(r"\w+")


def shown_keywords(title: str, keywords: Sequence[str], most: int) -> list[str]:
    """Return the first `most` keywords that have a word which the shown title lacks, of any case.

    Source: our choice; what a title says already costs tokens and tells a model nothing.
    """
    text = bounded(title, TITLE).casefold()
    said = {*_WORD.findall(text), *(word.strip("\"',.:;!?()[]") for word in text.split())}
    return list(islice((each for each in keywords if not _covered(each, said)), most))


def _covered(keyword: str, said: set[str]) -> bool:
    words = keyword.casefold().split()
    return bool(words) and said.issuperset(words)
