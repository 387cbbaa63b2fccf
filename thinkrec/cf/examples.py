"""What encoders are made from: their shape, what train knows, and training rows as tensors."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from thinkrec.cf.statistics import fold_counts
from thinkrec.data.tables import Interactions


@dataclass(frozen=True)
class Shape:
    """Size of an encoder.

    Args:
        width: of the vectors that are learned, d, without columns of biases and statistics.
        history_length: interactions that a sequence encoder reads, L.
        graph_layers: propagation layers of a graph encoder.
        negatives: items that gSASRec draws for each like.
        calibration: gSASRec's t, from 0 (plain logistic loss) to 1 (scores are calibrated probabilities).
    """

    width: int
    history_length: int = 25
    graph_layers: int = 2
    negatives: int = 16
    calibration: float = 0.75


@dataclass(frozen=True)
class Known:
    """What train holds; nothing else of the data shapes an encoder.

    Args:
        user_index: [U + 1] int64, row of each user_id in a compact table, 1, 2, ... by id; 0 is unknown.
        item_index: [I + 1] int64, the same for items.
        likes: [2, E] int64, compact rows of the users and items of distinct likes.
        counts: [2, Ki + 1] float64, rows and likes of each item.
        folds: [FOLDS, 2, Ki + 1] float64, the same by tenths of users.
        mean: [] float32, logit of the share of likes, counted with one like and one dislike more.
    """

    user_index: Tensor
    item_index: Tensor
    likes: Tensor
    counts: Tensor
    folds: Tensor
    mean: Tensor

    @classmethod
    def of(cls, data: Interactions, users: int, items: int) -> Known:
        """Read train's rows; `users` and `items` are the highest ids, U and I."""
        rows = data.rows("train")
        user, item, label = data.user_id[rows], data.item_id[rows], data.label[rows]
        user_index, item_index = _compact(user, users), _compact(item, items)
        pairs = np.stack([user_index[user[label == 1]], item_index[item[label == 1]]])
        share = (label.sum() + 1) / (len(rows) + 2)
        folds = fold_counts(user, item_index[item], label, int(item_index.max(initial=0)) + 1)
        return cls(
            torch.from_numpy(user_index),
            torch.from_numpy(item_index),
            torch.from_numpy(np.unique(pairs, axis=1)),
            torch.from_numpy(folds.sum(0)),
            torch.from_numpy(folds),
            torch.tensor(np.log(share / (1 - share)), dtype=torch.float32),
        )

    @property
    def users(self) -> int:
        """Rows of the compact table of users, with row 0."""
        return int(self.user_index.max()) + 1

    @property
    def items(self) -> int:
        """Rows of the compact table of items, with row 0."""
        return int(self.item_index.max()) + 1


def _compact(ids: np.ndarray, highest: int) -> np.ndarray:
    known = np.unique(ids)
    index = np.zeros(highest + 1, dtype=np.int64)
    index[known] = np.arange(1, len(known) + 1)
    return index


@dataclass(frozen=True)
class Examples:
    """Training rows as tensors: n examples with T targets each (one, but for a sequence's many moments).

    Args:
        user: [n] int64 user_id.
        history: [n, L] int64 item_id, oldest first, 0 on the right; L = 0 where none is read.
        verdict: [n, L] int64 of each history item: 0 none, 1 disliked, 2 liked.
        item: [n, T] int64 item_id of the targets.
        label: [n, T] float32.
        counted: [n, T] bool, whether the target enters the loss.
        place: [n, T] int64, the target's number among train's rows.
    """

    user: Tensor
    history: Tensor
    verdict: Tensor
    item: Tensor
    label: Tensor
    counted: Tensor
    place: Tensor

    def __len__(self) -> int:
        """Count of examples."""
        return len(self.user)

    def take(self, index: Tensor) -> Examples:
        """The examples at these places, [b] int64."""
        return Examples(*(getattr(self, field.name)[index] for field in fields(self)))

    def to(self, device: torch.device) -> Examples:
        """The same on another device."""
        return Examples(*(getattr(self, field.name).to(device) for field in fields(self)))


def row_examples(data: Interactions) -> Examples:
    """Train's rows, one target each, no history."""
    rows = data.rows("train")
    user, item = torch.from_numpy(data.user_id[rows]), torch.from_numpy(data.item_id[rows])
    label = torch.from_numpy(data.label[rows]).float()
    none = torch.zeros(len(rows), 0, dtype=torch.int64)
    counted = torch.ones(len(rows), 1, dtype=torch.bool)
    place = torch.arange(len(rows))[:, None]
    return Examples(user, none, none, item[:, None], label[:, None], counted, place)


def stretch_examples(data: Interactions, length: int, step: int) -> Examples:
    """Stretches of train's time lines: target t of a stretch comes after its first t items, t = 0 .. L.

    Stretches of one user start `step` rows apart. Every train row is a counted target exactly once, in the
    stretch that shows most of its past: all of it or at least the latest L - step + 1 items.
    """
    rows = data.rows("train")
    count = np.bincount(data.user_id[rows])
    count = count[count > 0]
    end = np.cumsum(count)
    stretches = 1 + np.maximum(0, -(-(count - length - 1) // step))
    first = np.cumsum(stretches) - stretches
    number = np.arange(stretches.sum()) - np.repeat(first, stretches)
    start = np.repeat(end - count, stretches) + number * step
    place = start[:, None] + np.arange(length + 1)
    inside = place < np.repeat(end, stretches)[:, None]
    counted = inside & ((number == 0)[:, None] | (np.arange(length + 1) > length - step))
    place = np.minimum(place, len(rows) - 1)
    row = rows[place]
    item = torch.from_numpy(np.where(inside, data.item_id[row], 0))
    label = torch.from_numpy(data.label[row])
    verdict = torch.where(torch.from_numpy(inside), label + 1, 0)
    user = torch.from_numpy(data.user_id[row[:, 0]])
    history = item[:, :-1], verdict[:, :-1]
    return Examples(user, *history, item, label.float(), torch.from_numpy(counted), torch.from_numpy(place))
