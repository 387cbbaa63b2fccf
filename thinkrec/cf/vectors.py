"""An encoder's vectors as plain arrays, and the scores that they give: no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from thinkrec.errors import ModelError
from thinkrec.files import read_json

AGAIN = "run `thinkrec cf` again"
VECTORS = "vectors.safetensors"
_AT_ONCE = 200_000
"""Rows multiplied at once; bounds memory."""


@dataclass(frozen=True)
class Arrays:
    """What an encoder learned, by id: a score's logit is <user, item> + mean.

    Shapes: U, I highest ids; d is the encoder's width and 2, of a label-aware encoder 4.

    Args:
        user: [U + 1, d] float32, [x, b, 1]; a sequence encoder's at the end of train, with b = 0.
        item: [I + 1, d] float32, [y, 1, b]. Vectors of what train does not hold are zero, row 0 is padding.
        mean: logit of the mean.
    """

    user: np.ndarray
    item: np.ndarray
    mean: float

    @classmethod
    def load(cls, folder: Path) -> Arrays:
        """Read an encoder's folder.

        Raises:
            ModelError: a file is missing or corrupt, or the files do not belong together.
        """
        config = read_config(folder)
        try:
            arrays = load_file(folder / VECTORS)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{folder / VECTORS} can't be read ({error}); {AGAIN}") from error
        shapes = {name: list(value.shape) for name, value in sorted(arrays.items(), reverse=True)}
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        said = ", ".join(f"{name} {config[f'{name}_shape']}" for name in ("user", "item"))
        if found != said:
            raise ModelError(f"{folder}: vectors.safetensors holds {found}, config.json says {said}; {AGAIN}")
        user, item = arrays["user"], arrays["item"]
        if not (np.isfinite(user).all() and np.isfinite(item).all()):
            raise ModelError(
                f"{folder}: vectors hold values that are not finite; lower its learning_rate in params.yaml "
                "and run `thinkrec cf` again"
            )
        return cls(user, item, config["mean"])

    def score(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Score pairs of ids, [n] each: logits, [n] float32.

        An unknown user leaves the item's bias, an unknown item the user's.
        """
        found = np.empty(len(user), dtype=np.float32)
        for first in range(0, len(user), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            users, items = self.user[user[part]], self.item[item[part]]
            users[~users.any(1), -1] = 1
            items[~items.any(1), -2] = 1
            found[part] = np.einsum("nd,nd->n", users, items) + self.mean
        return found


def read_config(folder: Path) -> dict[str, Any]:
    """Read an encoder's config.json.

    Raises:
        ModelError: it can't be read, or lacks something.
    """
    try:
        config = read_json(folder / "config.json")
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: config.json can't be read ({error}); {AGAIN}") from error
    needed = {"encoder", "shape", "mean", "user_shape", "item_shape", "reads_history"}
    missing = sorted(needed - set(config if isinstance(config, dict) else {}))
    if missing:
        raise ModelError(f"{folder}: config.json lacks {', '.join(missing)}; {AGAIN}")
    return dict(config)


def check_ids(folder: Path, ids: np.ndarray, known: int, kind: str) -> None:
    """Check that an encoder knows of these ids.

    Args:
        folder: the encoder's.
        ids: asked about.
        known: count of ids, 0 included, that it was trained on.
        kind: user or item.

    Raises:
        ModelError: it was trained on data with fewer.
    """
    highest = int(ids.max(initial=0))
    if highest >= known:
        raise ModelError(
            f"{folder} was trained on data with {known - 1} {kind}s, the interactions name {kind} {highest}: "
            f"{AGAIN}"
        )
