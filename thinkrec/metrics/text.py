"""METEOR of generated reasons against the teacher's, and why there is no BLEURT."""

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
    """A stem that keeps its word, since nltk passes stems, not words, to the synonym stage."""

    word: str


class _RememberingStemmer:
    def __init__(self) -> None:
        self._porter = PorterStemmer()

    def stem(self, word: str) -> _Stem:
        stem = _Stem(self._porter.stem(word))
        stem.word = word
        return stem


class _StemmedWordNet:
    """WordNet for nltk's synonym stage, looked up by whole words, with stemmed lemmas."""

    def __init__(self, wordnet: Any, stemmer: _RememberingStemmer) -> None:
        self._wordnet = wordnet
        self._stemmer = stemmer

    def synsets(self, stem: _Stem) -> list[SimpleNamespace]:
        lemmas = [lemma.name() for synset in self._wordnet.synsets(stem.word) for lemma in synset.lemmas()]
        stems = [self._stemmer.stem(name.lower()) for name in lemmas]
        named = [SimpleNamespace(name=lambda stem=each: str(stem)) for each in stems]
        return [SimpleNamespace(lemmas=lambda: named)]


class _NoWordNet:
    """Replacement of a missing corpus: no word has a synonym."""

    def synsets(self, stem: str) -> list[SimpleNamespace]:
        return []


def find_wordnet() -> Any | None:
    """Return nltk's WordNet reader, or None if the corpus is missing or incomplete."""
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
    """Split a text into words and punctuation marks, METEOR's tokens."""
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
    """Compute METEOR of each candidate against its reference, in 0..1; an empty text scores 0.

    Stages: exact, stem (Porter), synonym (WordNet). nltk looks up stems, few of which WordNet has; here the
    whole word is looked up and its synonyms are stemmed. Parameters: nltk's defaults.

    Args:
        references: the teacher's texts, [n].
        candidates: the generated texts, [n].
        wordnet: from `find_wordnet`; None skips the synonym stage.

    Raises:
        ValueError: the lists differ in length.
    """
    stemmer = _RememberingStemmer()
    synonyms = _NoWordNet() if wordnet is None else _StemmedWordNet(wordnet, stemmer)
    pairs = zip(references, candidates, strict=True)
    return [
        float(single_meteor_score(words(reference), words(candidate), stemmer=stemmer, wordnet=synonyms))
        for reference, candidate in pairs
    ]


def text_metrics(
    references: Sequence[str], candidates: Sequence[str], user: np.ndarray, draws: int, seed: int
) -> dict[str, Score]:
    """Compute METEOR and BLEURT of generated reasons.

    Args:
        references: the teacher's texts, [n].
        candidates: the generated texts, [n].
        user: user ids of the pairs, [n].
        draws, seed: of the bootstrap over users behind the 95 % interval.

    Returns:
        `meteor`, or `meteor_exact_stem` without WordNet: {value, low, high, rows, users};
        `bleurt`: {value: None, reason}. A missing value is None with a reason, never 0.

    Source: ThinkRec, section 4 (METEOR, BLEURT-20).
    """
    wordnet = find_wordnet()
    name = "meteor_exact_stem" if wordnet is None else "meteor"
    scores = meteor(references, candidates, wordnet)
    return {name: _summary(scores, user, draws, seed), "bleurt": {"value": None, "reason": BLEURT_ABSENT}}
