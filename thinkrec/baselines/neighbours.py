"""What the user's earlier verdicts on similar items say of the target; similarity counted in the past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thinkrec.baselines.past import Own, Past, ranks
from thinkrec.data.tables import Interactions

WIDTH = 100  # latest interactions that are compared with the target
_PART = 8_000_000  # pairs looked at together; bounds memory
_DAMPING = 3.0


def _pairs(own: Own) -> tuple[np.ndarray, np.ndarray]:
    """Every row with each of the latest WIDTH rows of its history, [P] row numbers each."""
    begin = np.maximum(own.start, own.end - WIDTH)
    count = own.end - begin
    shift = np.cumsum(count) - count - begin
    row = np.repeat(np.arange(len(count), dtype=np.int32), count)
    return row, (np.arange(count.sum()) - np.repeat(shift, count)).astype(np.int32)


def neighbour_features(
    data: Interactions,
    own: Own,
    counted: np.ndarray,
    item_rows: np.ndarray,
    surprise: np.ndarray,
    generosity: np.ndarray,
) -> dict[str, np.ndarray]:
    """Compare every target with the items of its history.

    Two items are similar where the same users met both, in train, strictly before the target's moment (of
    those users' time lines only pairs at most WIDTH apart); they agree where the surprises of these users at
    both have the same sign. Cost: rows x WIDTH at most, sorted.

    Shapes: N rows.

    Args:
        data: interactions; of others' labels only train's are read.
        own: each row's history, whose labels are read.
        counted: rows that count for others, train's, [N] bool.
        item_rows: train rows of the row's item before its moment, [N].
        surprise: label minus what user and item made expect, [N]; read at train rows only.
        generosity: the user's smoothed like share before the row, [N].

    Returns:
        Features by name, [N] float64 each, 0 without a shared user:
        agreement: sum over the history of (label - generosity) x covariance of surprises, damped.
        agreement_mean: the same as a weighted mean.
        verdict, verdict_mean: surprises at the target of users who judged a history item as this user did.
        shared: log of 1 + shared users; shared_likes: like share of the history, weighted by them.
        cosine, cosine_likes: the same, with shared users over the root of both items' rows.

    Source: item-based neighbourhoods (Sarwar et al. 2001); prequential counts: our choice.
    """
    row, other = _pairs(own)
    known = _Known(data, ranks(data.timestamp), counted, item_rows, surprise, generosity)
    sums = np.zeros((9, len(data)))
    parts = np.int32(len(row) // _PART + 1)
    item = data.item_id.astype(np.int32)  # for memory
    part = (item[row] + item[other]) % parts  # the same for (a, b) and (b, a)
    for k in range(parts):
        chosen = np.flatnonzero(part == k) if parts > 1 else slice(None)
        a, b = row[chosen], other[chosen]
        for total, value in zip(sums, known.values(a, b), strict=True):
            total += np.bincount(a, weights=value, minlength=len(data))
    return _named(sums)


@dataclass(frozen=True)
class _Known:
    """What the pairs are looked up in; arrays as in `neighbour_features`, and the rank of each moment."""

    data: Interactions
    moment: np.ndarray
    train: np.ndarray
    item_rows: np.ndarray
    surprise: np.ndarray
    generosity: np.ndarray

    def values(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
        """What pairs of a target `a` and a row `b` of its history add to the target's 9 sums, [P] each."""
        item, liked = self.data.item_id, self.data.label[b]
        train = self.train
        low, high = np.minimum(item[a], item[b]), np.maximum(item[a], item[b])
        past = Past(low * (int(item.max(initial=0)) + 1) + high, self.moment[a], train[a] & train[b])
        shared = past.sum(np.ones(len(a)))
        verdict, judges = self._verdicts(past, a, b, shared)
        weight = past.sum(self.surprise[a] * self.surprise[b]) / (shared + _DAMPING)
        cosine = shared / np.sqrt((self.item_rows[a] + 1) * (self.item_rows[b] + 1))
        return (
            (liked - self.generosity[a]) * weight, np.abs(weight),
            verdict / (judges + _DAMPING), verdict, judges,
            shared, liked * shared, cosine, liked * cosine,
        )  # fmt: skip

    def _verdicts(
        self, past: Past, a: np.ndarray, b: np.ndarray, shared: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of the users before who judged b's item as b does: their surprises at a's, and their count."""
        label, ahead = self.data.label, self.data.item_id[a] < self.data.item_id[b]

        # A pair of items is one key, in which either may have been met first: add up what belongs to the
        # lower item, what belongs to the higher, and take a's (or b's).
        def of(values: np.ndarray, lower: np.ndarray) -> np.ndarray:
            return np.where(lower, values[a], values[b])

        def both_ways(lower: np.ndarray, higher: np.ndarray) -> np.ndarray:
            return np.where(ahead, past.sum(lower), past.sum(higher))

        surprise = of(self.surprise, ahead), of(self.surprise, ~ahead)
        liked = of(label, ahead), of(label, ~ahead)
        likes = both_ways(liked[1], liked[0])
        likers = both_ways(surprise[0] * liked[1], surprise[1] * liked[0])
        others = both_ways(*surprise) - likers
        return np.where(label[b] == 1, likers, others), np.where(label[b] == 1, likes, shared - likes)


def _named(sums: np.ndarray) -> dict[str, np.ndarray]:
    agreement, size, verdict, judged, judges, shared, shared_likes, cosine, cosine_likes = sums
    return {
        "agreement": agreement,
        "agreement_mean": agreement / (size + 0.5),
        "verdict": verdict,
        "verdict_mean": judged / (judges + 10),
        "shared": np.log1p(shared),
        "shared_likes": shared_likes / (shared + 5),
        "cosine": cosine,
        "cosine_likes": cosine_likes / (cosine + 0.05),
    }
