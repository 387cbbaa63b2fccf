"""An encoder's vectors as NumPy arrays, and their scores; needs no torch."""

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
_CHUNK = 200_000
"""Rows scored at once; bounds memory."""


@dataclass(frozen=True)
class Arrays:
    """Augmented vectors by id: scores are logits <user, item> + mean.

    Shapes: U, I highest ids; d is the encoder's width plus 2, or plus 4 for label-aware encoders.

    Args:
        user: [U + 1, d] float32, [x, b, 1]; a sequence encoder's at the end of train, with b = 0.
        item: [I + 1, d] float32, [y, 1, b]. Vectors of unknown ids are zero, row 0 is padding.
        mean: logit of train's share of likes.
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
        actual = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        expected = ", ".join(f"{name} {config[f'{name}_shape']}" for name in ("user", "item"))
        if actual != expected:
            raise ModelError(
                f"{folder}: vectors.safetensors holds {actual}, config.json says {expected}; {AGAIN}"
            )
        user, item = arrays["user"], arrays["item"]
        if not (np.isfinite(user).all() and np.isfinite(item).all()):
            raise ModelError(
                f"{folder}: vectors hold values that are not finite; lower its learning_rate in params.yaml "
                "and run `thinkrec cf` again"
            )
        return cls(user, item, config["mean"])

    def score(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Score pairs of ids, [n] each; returns logits, [n] float32.

        An unknown user gets the item's bias, an unknown item the user's.
        """
        logits = np.empty(len(user), dtype=np.float32)
        for first in range(0, len(user), _CHUNK):
            part = slice(first, first + _CHUNK)
            users, items = self.user[user[part]], self.item[item[part]]
            # Unknown ids are all zero; their 1 lets the other's bias through.
            users[~users.any(1), -1] = 1
            items[~items.any(1), -2] = 1
            logits[part] = np.einsum("nd,nd->n", users, items) + self.mean
        return logits


def read_config(folder: Path) -> dict[str, Any]:
    """Read an encoder's config.json.

    Raises:
        ModelError: it can't be read, or lacks a field.
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
    """Check that an encoder's data had these ids.

    Args:
        folder: the encoder's folder.
        ids: the ids.
        known: number of ids, including 0, in the data that it was trained on.
        kind: "user" or "item".

    Raises:
        ModelError: an id is beyond them.
    """
    highest = int(ids.max(initial=0))
    if highest >= known:
        raise ModelError(
            f"{folder} was trained on data with {known - 1} {kind}s, the interactions name {kind} {highest}: "
            f"{AGAIN}"
        )
