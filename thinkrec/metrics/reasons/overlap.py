"""ROUGE-L against a reference, and how much reasons differ from each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from thinkrec.metrics.reasons.meteor import words
from thinkrec.metrics.reasons.summary import Values


class _Words:
    """METEOR's tokens in lower case, for rouge-score, whose own keep the letters a to z only."""

    def tokenize(self, text: str) -> list[str]:
        return [word.casefold() for word in words(text) if word[0].isalnum() or word[0] == "_"]


def rouge_l(references: Sequence[str], candidates: Sequence[str]) -> list[float]:
    """Compute ROUGE-L of each candidate: F1 of the longest common subsequence of words; an empty text has 0.

    Raises:
        ValueError: the lists differ in length.

    Source: Lin 2004, as the package rouge-score has it (beta 1), with words of any alphabet.
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], tokenizer=_Words())
    pairs = zip(references, candidates, strict=True)
    return [float(scorer.score(reference, candidate)["rougeL"].fmeasure) for reference, candidate in pairs]


def distinct_texts(texts: Sequence[str]) -> Values:
    """Count each text as 1 / how often it occurs: the mean is the share of different texts among all.

    Letters' case and white space don't count.
    """
    keys = [" ".join(text.casefold().split()) for text in texts]
    counts = Counter(keys)
    return Values(np.array([1 / counts[key] for key in keys], dtype=np.float64))


def distinct_2(texts: Sequence[str]) -> Values:
    """Count each pair of neighbouring words as 1 / how often it occurs in all texts.

    Weighted by each text's pairs, the mean is the share of different pairs among all (distinct-2). It falls
    with more or longer texts: compare equally many. A text of one word has no pair and is left out.

    Source: Li et al. 2016, "A Diversity-Promoting Objective Function".
    """
    tokens = [_Words().tokenize(text) for text in texts]
    pairs = [list(pairwise(each)) for each in tokens]
    counts = Counter(pair for each in pairs for pair in each)
    value = [np.mean([1 / counts[pair] for pair in each]) if each else np.nan for each in pairs]
    weight = np.array([len(each) for each in pairs], dtype=np.float64)
    return Values(np.array(value, dtype=np.float64), weight, "no text has two words")
