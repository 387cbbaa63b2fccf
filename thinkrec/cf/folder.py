"""Saving and loading encoders: a folder of vectors.safetensors, model.safetensors and config.json."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from thinkrec.cf.encoder import Encoder
from thinkrec.cf.examples import Known, Shape
from thinkrec.cf.gsasrec import GSASRec
from thinkrec.cf.labelled import LabelledGSASRec, LabelledSASRec
from thinkrec.cf.lightgcn import LightGCN
from thinkrec.cf.mf import MatrixFactorisation, PlainMatrixFactorisation
from thinkrec.cf.sasrec import SASRec
from thinkrec.cf.vectors import AGAIN, read_config
from thinkrec.data.tables import Interactions
from thinkrec.errors import ModelError
from thinkrec.files import write_json

ENCODERS: dict[str, type[MatrixFactorisation] | type[SASRec]] = {
    encoder.name: encoder
    for encoder in (
        MatrixFactorisation,
        PlainMatrixFactorisation,
        LightGCN,
        SASRec,
        GSASRec,
        LabelledSASRec,
        LabelledGSASRec,
    )
}


def save_encoder(folder: Path, model: Encoder, data: Interactions, facts: dict[str, Any]) -> None:
    """Write an encoder to a new folder; `facts` (JSON) are added to its config.json."""
    folder.mkdir(parents=True)
    vectors = model.vectors(data)
    for name, tensors in (("vectors", vectors), ("model", model.state_dict())):
        content = save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
        # save_file's errors hide that a disk is full.
        (folder / f"{name}.safetensors").write_bytes(content)
    shapes = {f"{name}_shape": list(value.shape) for name, value in vectors.items()}
    config = {
        "encoder": model.name,
        "shape": asdict(model.shape),
        "mean": float(model.mean),
        "reads_history": model.reads_history,
    }
    write_json(folder / "config.json", {**config, **shapes, **facts})


def load_encoder(folder: Path) -> Encoder:
    """Load an encoder in eval mode.

    Raises:
        ModelError: a file is missing or corrupt, or the files do not belong together.
    """
    config, weights = _config(folder), _tensors(folder / "model.safetensors")
    none = torch.zeros(2, 0, dtype=torch.int64)
    try:
        likes, counts, folds = (weights.get(name, none) for name in ("likes", "counts", "folds"))
        known = Known(weights["user_index"], weights["item_index"], likes, counts, folds, weights["mean"])
        model = ENCODERS[config["encoder"]](Shape(**config["shape"]), known, seed=0)
        model.load_state_dict(weights)
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{folder}: model.safetensors does not fit config.json ({reason}); {AGAIN}"
        ) from error
    return model.eval()


def _config(folder: Path) -> dict[str, Any]:
    config = read_config(folder)
    if config["encoder"] not in ENCODERS:
        names = ", ".join(ENCODERS)
        raise ModelError(
            f"{folder}: config.json names encoder {config['encoder']!r}, must be one of {names}; {AGAIN}"
        )
    return config


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} can't be read ({error}); {AGAIN}") from error
