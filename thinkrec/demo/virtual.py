"""Virtual users for pre-training: tastes drawn over item texts alone, no label of any data set.

They teach the tiny backbone what a large one brings along: to infer from a few liked and disliked
items what somebody wants, whatever it is. Our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from thinkrec.data.tables import Items

LIKED_DIRECTIONS, DISLIKED_DIRECTIONS = 2, 3
SHARPNESS = 3.0  # logits per standard deviation of a user's utility
MOOD = 0.7  # standard deviation of a user's own inclination to like, in logits


@dataclass(frozen=True)
class Timeline:
    """A virtual user's items and verdicts. Shapes: T items, the last one being the target."""

    items: np.ndarray
    labels: np.ndarray


def item_space(items: Items, width: int, seed: int) -> np.ndarray:
    """Place items by the words of their titles and keywords: [I, width], unit length, item 1 first."""
    texts = [
        " ".join([title, *words, *words])
        for title, words in zip(items.title[1:], items.keywords[1:], strict=True)
    ]
    counts = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(texts)
    width = min(width, min(counts.shape) - 1)
    return normalize(TruncatedSVD(width, random_state=seed).fit_transform(counts))


class VirtualUsers:
    """Draws time lines of users who like what lies near some random items, and dislike others."""

    def __init__(self, items: Items, seed: int, width: int = 32) -> None:
        """Place the items once."""
        self.space = item_space(items, width, seed)
        self.rng = np.random.default_rng(seed)

    def timeline(self, length: int, ease: float = 0.0) -> Timeline:
        """Draw a user and `length` distinct items, those near the user's tastes more often.

        Args:
            length: items, the target included.
            ease: 0 to 1; an easy user has one liking and one aversion, sharp ones, and meets little else.
        """
        rng, size = self.rng, len(self.space)
        liked, disliked = (1, 1) if rng.random() < ease else (LIKED_DIRECTIONS, DISLIKED_DIRECTIONS)
        anchors = self.space[rng.choice(size, liked + disliked, replace=False)]
        near = np.maximum(self.space @ anchors.T, 0)
        utility = near[:, :liked].sum(1) - near[:, liked:].sum(1)
        utility = (utility - utility.mean()) / (utility.std() + 1e-9)
        logit = SHARPNESS * (1 + ease) * utility + rng.normal(0, MOOD * (1 - ease))
        odds = np.exp((1.5 + 6 * ease) * near.max(1))
        items = rng.choice(size, min(length, size), replace=False, p=odds / odds.sum())
        verdicts = rng.random(len(items)) < 1 / (1 + np.exp(-logit[items]))
        return Timeline(items + 1, verdicts.astype(np.int64))
