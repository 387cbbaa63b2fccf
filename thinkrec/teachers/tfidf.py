"""Keywords by statistics: TF-IDF over the items' own texts. No model, no interaction, no randomness."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

from thinkrec.teachers.keywords import boilerplate, tidy
from thinkrec.teachers.protocol import ItemFields
from thinkrec.teachers.text import first_words, plain

_WORD = re.compile(r"[^\W\d_][\w'\u2019-]*[^\W_]")
COMMON = 0.25  # share of the items


def _words(text: str, stop: frozenset[str]) -> list[str]:
    """Lower-case words that start with a letter, possessive endings off, stop words left out."""
    found = (re.sub(r"['\u2019]s$", "", word) for word in _WORD.findall(text.lower()))
    return [word for word in found if len(word) > 2 and word not in stop]


def _singular(documents: list[list[str]]) -> list[list[str]]:
    """Turn a plural into its singular where the corpus itself has that singular."""
    known = {word for words in documents for word in words}
    return [[word[:-1] if word.endswith("s") and word[:-1] in known else word for word in words]
            for words in documents]  # fmt: skip


@dataclass(frozen=True)
class TfidfExtractor:
    """Categories first, then the words of title and description with the highest TF-IDF.

    Words that at least two items share come before those of one item only: a keyword is there to link
    items. Words of more than a quarter of all items tell nothing and are left out. Single words only,
    since pairs link fewer items still. All our choice.

    Args:
        dataset: name of the data set, left out of the keywords.
        most: most keywords an item.
        words: words of each field that are read.
    """

    dataset: str
    most: int
    words: int
    name: str = "tfidf"

    def extract(self, items: Sequence[ItemFields]) -> list[list[str]]:
        """Give each item its keywords, best first; an item without any text has none."""
        unwanted = boilerplate(self.dataset)
        ranked = self._ranked(items, ENGLISH_STOP_WORDS | unwanted)
        return [
            tidy([*item.categories, *words], unwanted, self.most)
            for item, words in zip(items, ranked, strict=True)
        ]

    def _ranked(self, items: Sequence[ItemFields], stop: frozenset[str]) -> list[list[str]]:
        """Words of each item, best first; ties in alphabetical order."""
        documents = _singular(
            [
                _words(" . ".join(first_words(plain(text), self.words) for text in fields), stop)
                for fields in ((item.title, item.description) for item in items)
            ]
        )
        if not any(documents):
            return [[] for _ in documents]
        vectorizer = TfidfVectorizer(analyzer=list, sublinear_tf=True, norm=None)
        weights = vectorizer.fit_transform(documents)
        names = vectorizer.get_feature_names_out()
        spread = np.bincount(weights.indices, minlength=len(names))
        shared, common = spread > 1, spread > max(2, COMMON * len(items))
        ranked = []
        for start, end in pairwise(weights.indptr):
            telling = start + np.flatnonzero(~common[weights.indices[start:end]])
            columns, values = weights.indices[telling], weights.data[telling]
            # Names are sorted, so the column number breaks ties alphabetically.
            order = np.lexsort((columns, -values, ~shared[columns]))
            ranked.append([str(name) for name in names[columns[order]]])
        return ranked
