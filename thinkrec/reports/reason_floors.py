"""What stands beside generated reasons: rationales of train in their place, and the teacher asked again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

from thinkrec.data.tables import Interactions
from thinkrec.llm.examples import Rationales
from thinkrec.protocols import Protocol


def commonest(texts: Sequence[str]) -> str:
    """Return the most frequent text; among equally frequent ones the one most like all the others (TF-IDF).

    Teachers seldom say the same twice, so likeness mostly decides.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    counts = Counter(texts)
    most = max(counts.values())
    tied = [text for text, count in counts.items() if count == most]
    if len(tied) == 1:
        return tied[0]
    vectorizer = TfidfVectorizer(token_pattern=r"\w+").fit(texts)
    centre = np.asarray(vectorizer.transform(texts).mean(axis=0)).ravel()
    return tied[int(np.argmax(vectorizer.transform(tied) @ centre))]


def _histories(data: Interactions, rows: np.ndarray, length: int, protocol: Protocol) -> csr_matrix:
    """Which items were liked and disliked before each row, [n, 2 I] of 0 and 1."""
    found = data.histories(rows, length, protocol)
    row, place = np.nonzero(found >= 0)
    known = found[row, place]
    column = 2 * data.item_id[known] + data.label[known]
    width = 2 * (int(data.item_id.max(initial=0)) + 1)
    table = csr_matrix((np.ones(len(row)), (row, column)), shape=(len(rows), width))
    table.data[:] = 1.0  # an item met twice counts once
    return table


def nearest(
    data: Interactions,
    known: Rationales,
    rows: np.ndarray,
    liked: np.ndarray,
    length: int,
    protocol: Protocol,
) -> list[str]:
    """Return for each row the rationale of the nearest train row whose verdict is the one wanted.

    Nearest: of the same item where there is one, and among these, or else among all, the row whose history
    has most in common (Jaccard index over items with their verdicts; equal ones: the earliest row). Where no
    rationale has the verdict, that of the nearest row has its first word changed.

    Args:
        data: the interactions.
        known: rationales of train, at least one.
        rows: row numbers, [n].
        liked: the verdicts wanted, [n] bool.
        length: of the histories.
        protocol: what they hold.

    Source: StaR (retrieved sentences are hard to beat), as the spec of this project has it.
    """
    own, theirs = (_histories(data, each, length, protocol) for each in (rows, known.rows))
    shared = np.asarray((own @ theirs.T).todense())
    union = own.sum(axis=1).A1[:, None] + theirs.sum(axis=1).A1[None, :] - shared
    alike = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    alike += 2.0 * (data.item_id[rows][:, None] == data.item_id[known.rows][None, :])
    verdict = data.label[known.rows] == 1
    texts = []
    for k, wanted in enumerate(liked.tolist()):
        fits = verdict == wanted
        found = known.texts[int(np.argmax(np.where(fits, alike[k], -1.0) if fits.any() else alike[k]))]
        first, _, rest = found.partition(".")
        texts.append(found if fits.any() else f"{'Yes' if wanted else 'No'}.{rest or first}")
    return texts
