"""Share of a text's words that are English or stand in its prompt."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_CONTRACTIONS = frozenset(
    ("s", "t", "d", "ll", "re", "ve", "m", "don", "doesn", "didn", "isn", "wasn", "won")
)


@lru_cache(maxsize=1)
def _function_words() -> frozenset[str]:
    """Words that WordNet leaves out, such as `the`."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS) | _CONTRACTIONS


def words_in(text: str) -> list[str]:
    """Return the words of a text in small letters, an apostrophe parting them, without numbers."""
    found = (re.split(r"['\u2019]", word) for word in _WORD.findall(text.casefold()))
    return [part for parts in found for part in parts]


def words_known(text: str, prompt: str, wordnet: Any) -> float | None:
    """Return the share of words in WordNet, in an English stop list or in the prompt; None without a word.

    A word of one or two letters counts only by the stop list or the prompt: WordNet has most of them as signs
    and abbreviations. Order and grammar are not judged.

    Args:
        text: a reason.
        prompt: what the prompt shows of items.
        wordnet: nltk's reader, which knows inflected forms, too.

    Source: our choice; the stop list is scikit-learn's.
    """
    words = words_in(text)
    if not words:
        return None
    shown = _function_words() | set(words_in(prompt))
    return sum(word in shown or (len(word) > 2 and bool(wordnet.synsets(word))) for word in words) / len(
        words
    )
