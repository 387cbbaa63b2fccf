"""Statistics of a user's history and of items, for all rows at once, from the past alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from thinkrec.baselines.neighbours import neighbour_features
from thinkrec.baselines.past import Own, Past, ranks
from thinkrec.data.moments import SECOND
from thinkrec.data.tables import Interactions
from thinkrec.protocols import Protocol

WIDTHS = (3, 5, 10, 25, 100, None)
LATEST = (1, 2, 3)
OWN = 13 + 2 * len(LATEST)
"""Count of the first columns, which describe the user's own history; the very first is its length."""
_DIGITS = 6
"""Decimals kept: sums over the whole table carry other rows' rounding errors, on which trees would split."""
_USER, _ITEM, _QUALITY, _WINDOW = 10.0, 10.0, 5.0, 2.0  # rows of the mean added to a share (ours)


@dataclass(frozen=True)
class _Known:
    """What the groups of features share. Shapes: N rows; every value of a row is known before its moment.

    An item's statistics count train rows of any user at strictly earlier moments, so that no row's own
    label is in them and train rows see items as valid and test rows do.
    """

    data: Interactions
    own: Own
    train: np.ndarray

    @cached_property
    def liked(self) -> np.ndarray:
        return self.data.label.astype(np.float64)

    @cached_property
    def moment(self) -> np.ndarray:
        return ranks(self.data.timestamp)

    @cached_property
    def everything(self) -> Past:
        return Past(np.zeros(len(self.data), dtype=np.int64), self.moment, self.train)

    @cached_property
    def item(self) -> Past:
        return Past(self.data.item_id, self.moment, self.train)

    @cached_property
    def all_rows(self) -> np.ndarray:
        return self.everything.sum(np.ones(len(self.data)))

    @cached_property
    def item_rows(self) -> np.ndarray:
        return self.item.sum(np.ones(len(self.data)))

    @cached_property
    def mean(self) -> np.ndarray:
        """Like share of all train rows before, one like and one dislike added."""
        return (self.everything.sum(self.liked) + 1) / (self.all_rows + 2)

    @cached_property
    def rows(self) -> np.ndarray:
        """Length of the history."""
        return (self.own.end - self.own.start).astype(np.float64)

    @cached_property
    def generosity(self) -> np.ndarray:
        """The user's like share over the history."""
        return (self.own.sum(self.liked) + _USER * self.mean) / (self.rows + _USER)

    @cached_property
    def train_generosity(self) -> np.ndarray:
        """The same from train rows alone, in either protocol: item statistics rest on it."""
        before = Own.of(self.data, "rolling")
        likes, rows = before.sum(self.liked * self.train), before.sum(self.train)
        return (likes + _USER * self.mean) / (rows + _USER)

    @cached_property
    def quality(self) -> np.ndarray:
        """An item's mean label beyond its raters' generosity at the time."""
        return self.item.sum(self.liked - self.train_generosity) / (self.item_rows + _QUALITY)

    @cached_property
    def surprise(self) -> np.ndarray:
        """Label minus what rater and item made expect."""
        return self.liked - np.clip(self.train_generosity + self.quality, 0.05, 0.95)

    @cached_property
    def popularity(self) -> np.ndarray:
        """Log of the item's share of all rows."""
        return np.log1p(self.item_rows) - np.log1p(self.all_rows)

    @cached_property
    def pause(self) -> np.ndarray:
        """Log of 1 + seconds since the latest interaction of the history."""
        return np.log1p((self.data.timestamp - self.own.back(self.data.timestamp, 1)) / SECOND)

    def item_mean(self, values: np.ndarray) -> np.ndarray:
        """Mean of `values` over the item's rows, three rows of the mean over all rows added."""
        mean = self.everything.sum(values) / np.maximum(self.all_rows, 1)
        return (self.item.sum(values) + 3 * mean) / (self.item_rows + 3)


def _own_features(known: _Known) -> dict[str, np.ndarray]:
    own, ones = known.own, np.ones(len(known.data))
    columns = {"history_rows": known.rows, "pause": known.pause}
    since = known.data.timestamp - np.where(known.rows > 0, known.data.timestamp[own.start], np.nan)
    columns["tenure"] = np.log1p(since / SECOND)
    for width in WIDTHS:
        name, rows = width or "all", own.sum(ones, width) + _WINDOW
        columns[f"share_{name}"] = (own.sum(known.liked, width) + _WINDOW * known.mean) / rows
        if width in (10, None):
            expected = known.mean + known.quality
            # A window's labels beyond its items' quality, and that quality.
            columns[f"beyond_{name}"] = (own.sum(known.liked, width) - own.sum(expected, width)) / rows
            columns[f"met_quality_{name}"] = own.sum(known.quality, width) / rows
    for steps in LATEST:
        columns[f"liked_{steps}"] = own.back(known.liked, steps)
        columns[f"quality_{steps}"] = own.back(known.quality, steps)
    return columns


def _item_features(known: _Known) -> dict[str, np.ndarray]:
    data, place = known.data, np.log1p(known.rows)
    first = np.full(int(data.item_id.max(initial=0)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, data.item_id[known.train], data.timestamp[known.train])
    seen = known.item_rows > 0
    usual_place = known.item_mean(place)
    pause = np.nan_to_num(known.pause)
    return {
        "item_share": (known.item.sum(known.liked) + _ITEM * known.mean) / (known.item_rows + _ITEM),
        "item_quality": known.quality,
        "item_rows": np.log1p(known.item_rows),
        "item_popularity": known.popularity,
        "item_age": np.log1p(np.where(seen, (data.timestamp - first[data.item_id]) / SECOND, np.nan)),
        "item_place": usual_place,
        "place_beyond": place - usual_place,
        "item_pause": known.item_mean(pause),
    }


def _taste_features(known: _Known) -> dict[str, np.ndarray]:
    """How the user's labels went with quality and popularity so far, and where the target stands in both."""
    own, rows = known.own, np.maximum(known.rows, 1)
    columns: dict[str, np.ndarray] = {}
    for name, values, damping in (("quality", known.quality, 1.0), ("popularity", known.popularity, 5.0)):
        total, likes = own.sum(values), own.sum(known.liked)
        mean = total / rows
        both = own.sum(values * known.liked)
        spread = own.sum(values**2) - mean * total
        slope = (both - mean * likes) / (np.maximum(spread, 0) + damping)
        beyond = np.where(known.rows > 0, values - mean, 0)
        columns |= {
            f"{name}_slope": slope,
            f"{name}_beyond": beyond,
            f"{name}_tilt": slope * beyond,
            f"{name}_of_likes": both / (likes + 1),
        }
    return columns


def features(
    data: Interactions,
    rows: np.ndarray,
    protocol: Protocol = "rolling",
    own: Own | None = None,
    counted: np.ndarray | None = None,
) -> tuple[np.ndarray, list[str]]:
    """Describe rows by the past: the user's own history, the item, the user's taste, similar items.

    Own history: what `Interactions.history` of the protocol holds. With `frozen`, all of a user's rows of a
    split are described at one moment, the first one's. Of all others' rows only train's at a strictly earlier
    moment count; their labels, times and places only. Valid and test labels are read nowhere but in a user's
    own history, test's only in a rolling one. Cost: n log n, array programs; no loop over users or rows.

    Shapes: N interactions, n rows, F features.

    Args:
        data: all interactions.
        rows: row numbers to describe, [n].
        protocol: what the histories hold.
        own: the histories of all interactions, in place of those of the protocol.
        counted: rows that count for others, [N] bool, in place of train's.

    Returns:
        [n, F] float32, NaN for what does not exist (the latest label of an empty history), and F names.

    Raises:
        ConfigError: `train`, with a split whose train rows do not come first.

    Source: our choice; predict first, then count (prequential), keeps train rows like later ones.
    """
    counted = data.split == 0 if counted is None else counted
    own = own or Own.of(data, protocol)
    known = _Known(replace(data, timestamp=data.moments(protocol)), own, counted)
    columns = _own_features(known)
    assert len(columns) == OWN
    columns |= _item_features(known) | _taste_features(known)
    columns |= neighbour_features(
        known.data, known.own, counted, known.item_rows, known.surprise, known.generosity
    )
    matrix = np.empty((len(rows), len(columns)), dtype=np.float32)
    for column, values in enumerate(columns.values()):
        matrix[:, column] = np.round(values[rows], _DIGITS)
    return matrix, list(columns)
