"""Keywords by TF-IDF over item texts: no model, no interactions, no randomness."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

from thinkrec.teachers.keywords import boilerplate, tidy
from thinkrec.teachers.protocol import ItemFields
from thinkrec.teachers.text import first_words, sanitize

_WORD = re.compile(r"[^\W\d_][\w'\u2019-]*[^\W_]")
COMMON = 0.25  # share of the items


def _words(text: str, stop: frozenset[str]) -> list[str]:
    """Return lower-case words that start with a letter, without possessive endings and stop words."""
    words = (re.sub(r"['\u2019]s$", "", word) for word in _WORD.findall(text.lower()))
    return [word for word in words if len(word) > 2 and word not in stop]


def _singular(documents: list[list[str]]) -> list[list[str]]:
    """Replace a plural by its singular if the singular occurs in the corpus."""
    known = {word for words in documents for word in words}
    return [[word[:-1] if word.endswith("s") and word[:-1] in known else word for word in words]
            for words in documents]  # fmt: skip


@dataclass(frozen=True)
class TfidfExtractor:
    """Extracts categories first, then the words of title and description with the highest TF-IDF.

    Words shared by at least two items come before words of a single item, since keywords should link items.
    Words in more than a quarter of all items are excluded as uninformative. Keywords are single words, since
    bigrams link even fewer items. All our choice.

    Args:
        dataset: name of the data set, which is excluded as a keyword.
        most: maximum number of keywords per item.
        words: maximum number of words read of each field.
    """

    dataset: str
    most: int
    words: int
    name: str = "tfidf"

    def extract(self, items: Sequence[ItemFields]) -> list[list[str]]:
        """Return the keywords of each item, best first; an item without text has none."""
        unwanted = boilerplate(self.dataset)
        ranked = self._ranked(items, ENGLISH_STOP_WORDS | unwanted)
        return [
            tidy([*item.categories, *words], unwanted, self.most)
            for item, words in zip(items, ranked, strict=True)
        ]

    def _ranked(self, items: Sequence[ItemFields], stop: frozenset[str]) -> list[list[str]]:
        """Return the words of each item, best first; ties in alphabetical order."""
        documents = _singular(
            [
                _words(" . ".join(first_words(sanitize(text), self.words) for text in fields), stop)
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
            # Entries of this item's CSR row whose word is not too common.
            kept = start + np.flatnonzero(~common[weights.indices[start:end]])
            columns, values = weights.indices[kept], weights.data[kept]
            # Names are sorted, so the column number breaks ties alphabetically.
            order = np.lexsort((columns, -values, ~shared[columns]))
            ranked.append([str(name) for name in names[columns[order]]])
        return ranked
