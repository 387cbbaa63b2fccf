"""Slices that tell where a system is good: cold users and items, head and tail, history length, group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from thinkrec.data.tables import SPLITS, Interactions
from thinkrec.metrics.predictions import Predictions

HEAD_SHARE = 0.8
HISTORY = (0, 5, 10, 25, 100)
MEANING = {
    "warm": "user and item occur in train",
    "cold_user": "of the two only the user does not occur in train",
    "cold_item": "of the two only the item does not occur in train",
    "cold_both": "neither occurs in train",
    "head": f"the most popular items of train, the fewest that hold {HEAD_SHARE:.0%} of its rows",
    "tail": "all other items, those that train does not have included",
    "history_a-b": "rows of the user's own time line before the target, from a to b",
    "group_k": "users of the stage cluster's group k; none: users without a group",
}


def head_items(rows: np.ndarray) -> np.ndarray:
    """Mark the items most met, the fewest that hold HEAD_SHARE of all rows.

    Args:
        rows: train rows of each item, [I].

    Returns:
        [I] bool; items met as often as the last one chosen are marked too, so that no id decides.
    """
    falling = np.sort(rows)[::-1]
    reached = np.searchsorted(np.cumsum(falling), HEAD_SHARE * rows.sum())
    return (rows > 0) & (rows >= falling[min(int(reached), len(rows) - 1)])


def _masks(data: Interactions, group: np.ndarray | None) -> dict[str, np.ndarray]:
    train = data.rows("train")
    item_rows = np.bincount(data.item_id[train], minlength=int(data.item_id.max(initial=0)) + 1)
    user = np.bincount(data.user_id[train], minlength=data.users + 1)[data.user_id] > 0
    item = item_rows[data.item_id] > 0
    head = head_items(item_rows)[data.item_id]
    masks = {
        "cold_user": ~user & item,
        "cold_item": user & ~item,
        "cold_both": ~user & ~item,
        "head": head,
        "tail": ~head,
    }
    for first, after in zip(HISTORY, (*HISTORY[1:], None), strict=True):
        name = f"history_{first}+" if after is None else f"history_{first}-{after - 1}"
        masks[name] = (data.position >= first) & (data.position < (after or np.inf))
    if group is not None:
        own = group[data.user_id]
        masks |= {f"group_{number}": own == number for number in range(1, int(group.max(initial=0)) + 1)}
        masks["group_none"] = own == 0
    return masks


@dataclass(frozen=True)
class Breakdown:
    """Which further slices each row belongs to; MEANING says what they are.

    Shapes: N rows of the interactions.

    Args:
        data: the interactions.
        masks: name of the slice -> its rows, whatever their split, [N] bool.

    Source: warm and cold: ThinkRec, section 4; the others: our choice.
    """

    data: Interactions
    masks: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, data: Interactions, group: np.ndarray | None = None) -> Breakdown:
        """Sort the rows into slices.

        Args:
            data: the interactions; whether and how often train has a user or item is read, no label is.
            group: each user's group by user_id, 0 for none, [users + 1]; None where there are no groups.
        """
        return cls(data, _masks(data, group))

    def names(self, split: str) -> list[str]:
        """Slices of a split that have rows, `<split>/<slice>` each."""
        own = self.data.split == SPLITS.index(split)
        return [f"{split}/{name}" for name, mask in self.masks.items() if np.any(mask & own)]

    def slice(self, predictions: Predictions, name: str) -> np.ndarray:
        """As `Predictions.slice`, of the further slices too: mask of `predictions`' rows, [n] bool."""
        split, _, kind = name.partition("/")
        if kind not in self.masks:
            return predictions.slice(name)
        row = self.data.row_of(predictions.user_id, predictions.position)
        return predictions.slice(split) & self.masks[kind][row]
