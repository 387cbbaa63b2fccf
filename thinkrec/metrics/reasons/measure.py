"""All metrics of generated reasons in one call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from thinkrec.errors import ConfigError, ModelError
from thinkrec.metrics.reasons.keywords import Keywords
from thinkrec.metrics.reasons.meteor import find_wordnet, meteor
from thinkrec.metrics.reasons.names import NO_BLEURT, NO_VECTORS, NO_WORDNET, NOTHING
from thinkrec.metrics.reasons.overlap import distinct_2, distinct_texts, rouge_l
from thinkrec.metrics.reasons.rules import check
from thinkrec.metrics.reasons.summary import Score, Values, absent, split_summary
from thinkrec.metrics.reasons.titles import Catalogue
from thinkrec.metrics.reasons.words import words_known

log = logging.getLogger(__name__)
Pairwise = Callable[[Sequence[str], Sequence[str]], Sequence[float]]


@dataclass(frozen=True)
class Told:
    """One reason, and what it is held against.

    Args:
        reason: the generated text, verdict first.
        reference: the teacher's text on the same row.
        user: user_id of the row.
        score: the system's score, a logit; None of a floor.
        history: titles that the prompt shows, and whether the user liked each.
        target: title of the item asked about.
        hinted: the teacher was told the label before it wrote the reference; None: not known.
        prompt: what the prompt shows of items, titles and keywords.
    """

    reason: str
    reference: str
    user: int
    score: float | None
    history: tuple[tuple[str, bool], ...] = ()
    target: str = ""
    hinted: bool | None = None
    prompt: str = ""


@dataclass(frozen=True)
class Tools:
    """Corpora and models, each loaded once for all systems; a text says why one is absent.

    Args:
        wordnet: nltk's reader, None where there is no corpus.
        bleurt: scores candidates against references.
        similarity: the same, by sentence vectors.
    """

    wordnet: Any | None = None
    bleurt: Pairwise | str = NO_BLEURT
    similarity: Pairwise | str = NO_VECTORS

    @classmethod
    def load(cls, wordnet: Path, sentences: Path, bleurt_name: str | None) -> Tools:
        """Load what is there.

        What was asked for and can't be used is logged, and absent with that reason.

        Args:
            wordnet: folder of nltk's data, beside nltk's own.
            sentences: folder of the model of sentence vectors.
            bleurt_name: hub name or folder of a BLEURT checkpoint.
        """
        import torch

        from thinkrec.metrics.reasons.bleurt import Bleurt, find_folder
        from thinkrec.metrics.reasons.vectors import SentenceVectors

        device = "cuda" if torch.cuda.is_available() else "cpu"
        tools = cls(find_wordnet(wordnet))
        if sentences.is_dir():
            found = _loaded(lambda: SentenceVectors(sentences, device).similarity)
            tools = replace(tools, similarity=found)
        if bleurt_name is not None:
            found = _loaded(lambda: Bleurt(find_folder(bleurt_name), device).score)
            tools = replace(tools, bleurt=found)
        return tools


def _loaded(load: Callable[[], Pairwise]) -> Pairwise | str:
    try:
        return load()
    except (ConfigError, ModelError) as error:
        log.warning("%s", error)
        return str(error)


def text_metrics(
    told: Sequence[Told], catalogue: Catalogue, keywords: Keywords, tools: Tools, draws: int, seed: int
) -> dict[str, Score]:
    """Compute every metric of generated reasons.

    Args:
        told: the reasons, [n].
        catalogue: all titles of the data set.
        keywords: of these titles.
        tools: of `Tools.load`.
        draws, seed: of the bootstrap over users behind the 95 % intervals.

    Returns:
        metric -> {value, low, high, rows, users}; under `hinted` the same of rows whose reference was written
        after a hint, under `unhinted` of the others. What can't be measured is {value: None, reason}, not 0.
        METEOR without WordNet is called `meteor_exact_stem`.

    Source: ThinkRec, section 4 (METEOR, BLEURT-20); the others are our choice.
    """
    references, reasons = [each.reference for each in told], [each.reason for each in told]
    name = "meteor_exact_stem" if tools.wordnet is None else "meteor"
    found: dict[str, Values | str] = {name: _values(meteor(references, reasons, tools.wordnet))}
    for key, pairwise in (("bleurt", tools.bleurt), ("similarity", tools.similarity)):
        found[key] = pairwise if isinstance(pairwise, str) else _values(pairwise(references, reasons))
    found |= {
        "rouge_l": _values(rouge_l(references, reasons)),
        "distinct_texts": distinct_texts(reasons),
        "distinct_2": distinct_2(reasons),
    }
    found["words_known"] = NO_WORDNET
    if tools.wordnet is not None:
        shares = [words_known(each.reason, each.prompt, tools.wordnet) for each in told]
        kept = [np.nan if share is None else share for share in shares]
        found["words_known"] = Values(np.array(kept, dtype=np.float64), nothing="no text has a word")
    checked = [
        check(each.reason, each.score, each.history, each.target, catalogue, keywords) for each in told
    ]
    for rule, reason in NOTHING.items():
        kept = [np.nan if row[rule] is None else float(bool(row[rule])) for row in checked]
        found[rule] = Values(np.array(kept, dtype=np.float64), nothing=reason)
    user = np.array([each.user for each in told], dtype=np.int64)
    hinted = [each.hinted for each in told]
    return {
        key: absent(each) if isinstance(each, str) else split_summary(each, user, hinted, draws, seed)
        for key, each in found.items()
    }


def _values(scores: Sequence[float]) -> Values:
    return Values(np.array(scores, dtype=np.float64))
