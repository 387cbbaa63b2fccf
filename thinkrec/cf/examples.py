"""Inputs of encoders: their size, train's users and items, and training examples as tensors."""

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
        width: of the learned vectors, d, without biases and statistics.
        history_length: number of interactions that a sequence encoder reads, L.
        graph_layers: propagation layers of a graph encoder.
        negatives: negative items that gSASRec samples per like.
        calibration: gSASRec's t, from 0 (plain logistic loss) to 1 (scores are calibrated probabilities).
    """

    width: int
    history_length: int = 25
    graph_layers: int = 2
    negatives: int = 16
    calibration: float = 0.75


@dataclass(frozen=True)
class Known:
    """Users and items of train, and their statistics.

    Args:
        user_index: [U + 1] int64, compact row of each user_id, 1, 2, ... in order of ids; 0 for unknown.
        item_index: [I + 1] int64, the same for items.
        likes: [2, E] int64, compact rows of users and items of distinct likes.
        counts: [2, Ki + 1] float64, rows and likes per item.
        folds: [FOLDS, 2, Ki + 1] float64, the same by fold of users.
        mean: [] float32, logit of the share of likes, with one like and one dislike added.
    """

    user_index: Tensor
    item_index: Tensor
    likes: Tensor
    counts: Tensor
    folds: Tensor
    mean: Tensor

    @classmethod
    def of(cls, data: Interactions, users: int, items: int) -> Known:
        """Collect from train's rows; `users` and `items` are the highest ids, U and I."""
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
        """Number of compact rows of users, including row 0."""
        return int(self.user_index.max()) + 1

    @property
    def items(self) -> int:
        """Number of compact rows of items, including row 0."""
        return int(self.item_index.max()) + 1


def _compact(ids: np.ndarray, highest: int) -> np.ndarray:
    known = np.unique(ids)
    index = np.zeros(highest + 1, dtype=np.int64)
    index[known] = np.arange(1, len(known) + 1)
    return index


@dataclass(frozen=True)
class Examples:
    """Training examples: n examples with T targets each (1 unless the encoder reads sequences).

    Args:
        user: [n] int64 user_id.
        history: [n, L] int64 item_id, oldest first, padded with 0 on the right; L = 0 if not read.
        feedback: [n, L] int64, of each history item: 0 padding, 1 disliked, 2 liked.
        item: [n, T] int64 item_id of the targets.
        label: [n, T] float32.
        in_loss: [n, T] bool, whether the target enters the loss.
        train_row: [n, T] int64, index of the target among train's rows.
    """

    user: Tensor
    history: Tensor
    feedback: Tensor
    item: Tensor
    label: Tensor
    in_loss: Tensor
    train_row: Tensor

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.user)

    def take(self, index: Tensor) -> Examples:
        """Select the examples at these indices, [b] int64."""
        return Examples(*(getattr(self, field.name)[index] for field in fields(self)))

    def to(self, device: torch.device) -> Examples:
        """Move to a device."""
        return Examples(*(getattr(self, field.name).to(device) for field in fields(self)))


def row_examples(data: Interactions) -> Examples:
    """Build examples of train's rows with one target each and no history."""
    rows = data.rows("train")
    user, item = torch.from_numpy(data.user_id[rows]), torch.from_numpy(data.item_id[rows])
    label = torch.from_numpy(data.label[rows]).float()
    none = torch.zeros(len(rows), 0, dtype=torch.int64)
    in_loss = torch.ones(len(rows), 1, dtype=torch.bool)
    train_row = torch.arange(len(rows))[:, None]
    return Examples(user, none, none, item[:, None], label[:, None], in_loss, train_row)


def window_examples(data: Interactions, length: int, step: int) -> Examples:
    """Build sliding windows of train's sequences: target t follows the window's first t items, t = 0 .. L.

    A user's windows start `step` rows apart. Each train row is in the loss exactly once, in the window with
    the longest history before it: all of it or at least the latest L - step + 1 items.
    """
    # count, end: rows per user and where they end in train, [users]; W windows in all.
    rows = data.rows("train")
    count = np.bincount(data.user_id[rows])
    count = count[count > 0]
    end = np.cumsum(count)
    windows = 1 + np.maximum(0, -(-(count - length - 1) // step))
    first = np.cumsum(windows) - windows
    offset = np.arange(windows.sum()) - np.repeat(first, windows)
    start = np.repeat(end - count, windows) + offset * step
    # Row of each window's targets, [W, L + 1]; beyond the user's last row they are padding.
    train_row = start[:, None] + np.arange(length + 1)
    valid = train_row < np.repeat(end, windows)[:, None]
    in_loss = valid & ((offset == 0)[:, None] | (np.arange(length + 1) > length - step))
    train_row = np.minimum(train_row, len(rows) - 1)
    row = rows[train_row]
    item = torch.from_numpy(np.where(valid, data.item_id[row], 0))
    label = torch.from_numpy(data.label[row])
    feedback = torch.where(torch.from_numpy(valid), label + 1, 0)
    user = torch.from_numpy(data.user_id[row[:, 0]])
    history = item[:, :-1], feedback[:, :-1]
    return Examples(
        user, *history, item, label.float(), torch.from_numpy(in_loss), torch.from_numpy(train_row)
    )
