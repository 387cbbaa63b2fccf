"""An encoder's vectors as tensors, loaded without the encoder's code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from thinkrec.cf.vectors import Arrays


@dataclass(frozen=True)
class Vectors:
    """Augmented vectors by id: scores are logits <user, item> + mean.

    Shapes: U, I highest ids; d is the encoder's width plus 2, or plus 4 for label-aware encoders.

    Args:
        user: [U + 1, d] float32, [x, b, 1]; SASRec's at the end of train, with b = 0.
        item: [I + 1, d] float32, [y, 1, b].
        known_user: [U + 1] bool, in train. Other users' vectors are zero, row 0 is padding.
        known_item: [I + 1] bool, the same.
        mean: logit of train's share of likes.
    """

    user: Tensor
    item: Tensor
    known_user: Tensor
    known_item: Tensor
    mean: float


def load_vectors(folder: Path) -> Vectors:
    """Read an encoder's vectors.

    Raises:
        ModelError: a file is missing or corrupt, or the files do not belong together.
    """
    arrays = Arrays.load(folder)
    user, item = torch.from_numpy(arrays.user), torch.from_numpy(arrays.item)
    return Vectors(user, item, (user != 0).any(1), (item != 0).any(1), arrays.mean)
