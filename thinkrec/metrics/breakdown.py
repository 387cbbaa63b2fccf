"""Slices for error analysis: cold users and items, head and tail items, history length, user group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from thinkrec.data.tables import SPLITS, Interactions
from thinkrec.metrics.predictions import Predictions

HEAD_SHARE = 0.8
HISTORY = (0, 5, 10, 25, 100)
FEWEST = 2
"""Interactions before the target in the slice that SeLLa-Rec reports."""
MEANING = {
    "warm": "user and item occur in train",
    "cold_user": "only the user does not occur in train",
    "cold_item": "only the item does not occur in train",
    "cold_both": "neither occurs in train",
    "head": f"the most popular items, which together make up {HEAD_SHARE:.0%} of train's rows",
    "tail": "all other items, including those that do not occur in train",
    "history_a-b": "the user has a to b interactions before the target",
    f"history_{FEWEST}+": f"the user has {FEWEST} interactions or more before the target (SeLLa-Rec's rows)",
    "group_k": "users of group k of the stage cluster; none: users without a group",
}


def head_items(rows: np.ndarray) -> np.ndarray:
    """Mark the most popular items, the fewest that make up HEAD_SHARE of all rows.

    Args:
        rows: number of train rows per item, [I].

    Returns:
        [I] bool; items as popular as the last one chosen are included, so that ids break no tie.
    """
    descending = np.sort(rows)[::-1]
    # Rank at which the cumulative share of rows reaches HEAD_SHARE.
    rank = np.searchsorted(np.cumsum(descending), HEAD_SHARE * rows.sum())
    return (rows > 0) & (rows >= descending[min(int(rank), len(rows) - 1)])


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
    masks[f"history_{FEWEST}+"] = data.position >= FEWEST
    if group is not None:
        own = group[data.user_id]
        masks |= {f"group_{number}": own == number for number in range(1, int(group.max(initial=0)) + 1)}
        masks["group_none"] = own == 0
    return masks


@dataclass(frozen=True)
class Breakdown:
    """Membership of each row in the slices of MEANING.

    Shapes: N rows of the interactions.

    Args:
        data: the interactions.
        masks: slice name -> its rows in all splits, [N] bool.

    Source: warm and cold: ThinkRec, section 4; the others: our choice.
    """

    data: Interactions
    masks: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, data: Interactions, group: np.ndarray | None = None) -> Breakdown:
        """Assign the rows to slices.

        Args:
            data: the interactions; labels are not read.
            group: group of each user_id, 0 for none, [users + 1]; None if there are no groups.
        """
        return cls(data, _masks(data, group))

    def names(self, split: str) -> list[str]:
        """List the non-empty slices of a split as `<split>/<slice>`."""
        own = self.data.split == SPLITS.index(split)
        return [f"{split}/{name}" for name, mask in self.masks.items() if np.any(mask & own)]

    def slice(self, predictions: Predictions, name: str) -> np.ndarray:
        """Mask the rows of a slice, either of MEANING or of `Predictions.slice`, [n] bool."""
        split, _, kind = name.partition("/")
        if kind not in self.masks:
            return predictions.slice(name)
        row = self.data.row_of(predictions.user_id, predictions.position)
        return predictions.slice(split) & self.masks[kind][row]
