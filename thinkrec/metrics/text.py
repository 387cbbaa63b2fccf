"""Generated reasons against the teacher's: METEOR, and BLEURT or its stated absence."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from nltk.stem.porter import PorterStemmer
from nltk.translate.meteor_score import single_meteor_score

from thinkrec.metrics.bootstrap import mean_interval
from thinkrec.metrics.ranking import rounded

log = logging.getLogger(__name__)
_WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")
Score = dict[str, Any]
BLEURT_ABSENT = "no BLEURT-20 checkpoint: its weights come from a model hub and are not part of this project"


class _Stem(str):
    """A stem that remembers its word, since nltk hands stems, not words, to the synonym stage."""

    word: str


class _RememberingStemmer:
    def __init__(self) -> None:
        self._porter = PorterStemmer()

    def stem(self, word: str) -> _Stem:
        stem = _Stem(self._porter.stem(word))
        stem.word = word
        return stem


class _StemmedWordNet:
    """WordNet as nltk's synonym stage reads it: looked up by the whole word, its lemmas stemmed."""

    def __init__(self, wordnet: Any, stemmer: _RememberingStemmer) -> None:
        self._wordnet = wordnet
        self._stemmer = stemmer

    def synsets(self, stem: _Stem) -> list[SimpleNamespace]:
        lemmas = [lemma.name() for synset in self._wordnet.synsets(stem.word) for lemma in synset.lemmas()]
        stems = [self._stemmer.stem(name.lower()) for name in lemmas]
        named = [SimpleNamespace(name=lambda stem=each: str(stem)) for each in stems]
        return [SimpleNamespace(lemmas=lambda: named)]


class _NoWordNet:
    """Stands where there is no corpus: no word has a synonym."""

    def synsets(self, stem: str) -> list[SimpleNamespace]:
        return []


def find_wordnet() -> Any | None:
    """nltk's WordNet reader where nltk finds the whole corpus, else None."""
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except LookupError:
        return None
    except OSError as error:
        log.warning("nltk's WordNet corpus is incomplete, METEOR goes without synonyms: %s", error)
        return None
    return wordnet


def words(text: str) -> list[str]:
    """Words and punctuation marks of a text, as METEOR compares them."""
    return _WORD.findall(text)


def _summary(scores: Sequence[float], user: np.ndarray, draws: int, seed: int) -> Score:
    if len(scores) == 0:
        return {"value": None, "reason": "no pair of texts", "rows": 0, "users": 0}
    values = np.asarray(scores, dtype=np.float64)
    users, index, rows = np.unique(user, return_inverse=True, return_counts=True)
    total = np.bincount(index, weights=values)
    low, high = mean_interval(total, rows, draws, seed) or (None, None)
    return {
        "value": rounded(float(values.mean())),
        "low": rounded(low),
        "high": rounded(high),
        "rows": len(values),
        "users": len(users),
    }


def meteor(references: Sequence[str], candidates: Sequence[str], wordnet: Any | None) -> list[float]:
    """METEOR of each candidate against its reference, in 0..1; an empty text scores 0.

    Stages: exact, stem (Porter), synonym (WordNet). nltk hands stems to the synonym stage, which finds few of
    them in WordNet; here the whole word is looked up and its synonyms are stemmed. Parameters: nltk's.

    Args:
        references: the teacher's texts, [n].
        candidates: the generated texts, [n].
        wordnet: as of `find_wordnet`; None leaves the synonym stage out.

    Raises:
        ValueError: the lists differ in length.
    """
    stemmer = _RememberingStemmer()
    synonyms = _NoWordNet() if wordnet is None else _StemmedWordNet(wordnet, stemmer)
    pairs = zip(references, candidates, strict=True)
    return [
        float(single_meteor_score(words(said), words(made), stemmer=stemmer, wordnet=synonyms))
        for said, made in pairs
    ]


def text_metrics(
    references: Sequence[str], candidates: Sequence[str], user: np.ndarray, draws: int, seed: int
) -> dict[str, Score]:
    """METEOR and BLEURT of generated reasons.

    Args:
        references: the teacher's texts, [n].
        candidates: the generated texts, [n].
        user: user ids of the pairs, [n].
        draws, seed: of the bootstrap over users behind the 95 % interval.

    Returns:
        `meteor`, or `meteor_exact_stem` where nltk finds no WordNet: {value, low, high, rows, users};
        `bleurt`: {value: None, reason}. A missing value is None with a reason, never 0.

    Source: ThinkRec, section 4 (METEOR, BLEURT-20).
    """
    wordnet = find_wordnet()
    name = "meteor_exact_stem" if wordnet is None else "meteor"
    scores = meteor(references, candidates, wordnet)
    return {name: _summary(scores, user, draws, seed), "bleurt": {"value": None, "reason": BLEURT_ABSENT}}
