"""An encoder's folder: vectors.safetensors, model.safetensors, config.json."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from thinkrec.cf.encoder import Encoder
from thinkrec.cf.examples import Known, Shape
from thinkrec.cf.gsasrec import GSASRec
from thinkrec.cf.labelled import LabelledGSASRec, LabelledSASRec
from thinkrec.cf.lightgcn import LightGCN
from thinkrec.cf.mf import MatrixFactorisation, PlainMatrixFactorisation
from thinkrec.cf.sasrec import SASRec
from thinkrec.cf.vectors import AGAIN, read_config, read_tensors
from thinkrec.cf.vectors import Vectors as Vectors
from thinkrec.cf.vectors import load_vectors as load_vectors
from thinkrec.data.tables import HistoryMode, Interactions
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
    """Write an encoder to `folder`, which it makes; `facts` (JSON) are kept in config.json."""
    folder.mkdir(parents=True)
    vectors = model.vectors(data)
    for name, tensors in (("vectors", vectors), ("model", model.state_dict())):
        content = save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
        # Not save_file, whose errors hide that a disk is full.
        (folder / f"{name}.safetensors").write_bytes(content)
    shapes = {f"{name}_shape": list(value.shape) for name, value in vectors.items()}
    config = {"encoder": model.name, "shape": asdict(model.shape), "mean": float(model.mean)}
    write_json(folder / "config.json", {**config, **shapes, **facts})


def load_encoder(folder: Path) -> Encoder:
    """Read a whole encoder, ready to score.

    Raises:
        ModelError: a file is missing or corrupt, or the files do not belong together.
    """
    config, weights = read_config(folder), read_tensors(folder / "model.safetensors")
    none = torch.zeros(2, 0, dtype=torch.int64)
    try:
        likes, counts = weights.get("likes", none), weights.get("counts", none)
        known = Known(weights["user_index"], weights["item_index"], likes, counts, weights["mean"])
        model = ENCODERS[config["encoder"]](Shape(**config["shape"]), known, seed=0)
        model.load_state_dict(weights)
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{folder}: model.safetensors does not fit config.json ({reason}); {AGAIN}"
        ) from error
    return model.eval()


def score(folder: Path, data: Interactions, rows: np.ndarray, mode: HistoryMode = "rolling") -> np.ndarray:
    """Logits of rows by the encoder in `folder`, [n] float32.

    An unknown user leaves the item's side, an unknown item the user's. SASRec reads the history strictly
    before each row (`rolling`), or train's part of it (`frozen`); the others do not change with time.

    Raises:
        ModelError: the folder can't be used, or was trained on data with fewer users or items.
    """
    model = load_encoder(folder)
    for kind, ids, index in (
        ("user", data.user_id, model.user_index),
        ("item", data.item_id, model.item_index),
    ):
        highest = int(ids.max(initial=0))
        if highest >= len(index):
            raise ModelError(
                f"{folder} was trained on data with {len(index) - 1} {kind}s, the interactions name "
                f"{kind} {highest}: run `thinkrec cf` again"
            )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return model.to(device).score(data, rows, mode)
