"""Virtual users for pre-training: preferences drawn from item texts alone, without labels of any data set.

They teach the tiny backbone what a large one already knows: to infer a user's preferences from a few liked
and disliked items. Our choice.
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
MOOD = 0.7  # standard deviation of the user bias, in logits


@dataclass(frozen=True)
class Timeline:
    """A virtual user's items and labels, [T] each, in the order of time."""

    items: np.ndarray
    labels: np.ndarray


def item_space(items: Items, width: int, seed: int) -> np.ndarray:
    """Return embeddings of items from their titles and keywords, [I, width], unit length, item 1 first.

    The width is smaller if there are fewer items or words.
    """
    texts = [
        " ".join([title, *words, *words])
        for title, words in zip(items.title[1:], items.keywords[1:], strict=True)
    ]
    counts = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(texts)
    width = min(width, min(counts.shape) - 1)
    return normalize(TruncatedSVD(width, random_state=seed).fit_transform(counts))


class VirtualUsers:
    """Draws timelines of users who like items similar to some random ones and dislike others."""

    def __init__(self, items: Items, seed: int, width: int = 32) -> None:
        """Embed the items once."""
        self.space = item_space(items, width, seed)
        self.rng = np.random.default_rng(seed)

    def timeline(self, length: int, ease: float = 0.0) -> Timeline:
        """Draw a user and distinct items, more often those close to the user's likes and dislikes.

        Args:
            length: number of items, the targets included; at most all.
            ease: 0 to 1; an easy user has one strong like and one strong dislike, and rates little else.
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
