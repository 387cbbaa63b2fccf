"""Vectors that an encoder has learned, from its folder; of its code nothing is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from thinkrec.config.sections import ENCODERS
from thinkrec.errors import ModelError
from thinkrec.files import read_json

AGAIN = "run `thinkrec cf` again"


@dataclass(frozen=True)
class Vectors:
    """What an encoder learned, by id: a score's logit is <user, item> + mean.

    Shapes: U, I highest ids; d is the encoder's width and 2, of a label-aware encoder 4.

    Args:
        user: [U + 1, d] float32, [x, b, 1]; SASRec's at the end of train, with b = 0.
        item: [I + 1, d] float32, [y, 1, b].
        known_user: [U + 1] bool, in train. The vectors of all others are zero, row 0 is padding.
        known_item: [I + 1] bool, the same.
        mean: logit of the mean.
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
    config, tensors = read_config(folder), read_tensors(folder / "vectors.safetensors")
    found = ", ".join(f"{name} {list(value.shape)}" for name, value in sorted(tensors.items(), reverse=True))
    said = ", ".join(f"{name} {config[f'{name}_shape']}" for name in ("user", "item"))
    if found != said:
        raise ModelError(f"{folder}: vectors.safetensors holds {found}, config.json says {said}; {AGAIN}")
    user, item = tensors["user"], tensors["item"]
    if not (torch.isfinite(user).all() and torch.isfinite(item).all()):
        raise ModelError(
            f"{folder}: vectors hold values that are not finite; lower its learning_rate in params.yaml and "
            "run `thinkrec cf` again"
        )
    return Vectors(user, item, (user != 0).any(1), (item != 0).any(1), config["mean"])


def read_config(folder: Path) -> dict[str, Any]:
    """Read what an encoder's folder says of it.

    Raises:
        ModelError: it can't be read, or lacks something.
    """
    try:
        config = read_json(folder / "config.json")
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: config.json can't be read ({error}); {AGAIN}") from error
    needed = {"encoder", "shape", "mean", "user_shape", "item_shape"}
    missing = sorted(needed - set(config if isinstance(config, dict) else {}))
    if missing:
        raise ModelError(f"{folder}: config.json lacks {', '.join(missing)}; {AGAIN}")
    if config["encoder"] not in ENCODERS:
        names = ", ".join(ENCODERS)
        raise ModelError(
            f"{folder}: config.json names encoder {config['encoder']!r}, known are {names}; {AGAIN}"
        )
    return config


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of weights.

    Raises:
        ModelError: it can't be read.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} can't be read ({error}); run `thinkrec cf` again") from error
