"""Collaborative encoders as systems."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from thinkrec.cf.vectors import VECTORS, Arrays, check_ids, read_config
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.registry import System

if TYPE_CHECKING:
    from thinkrec.cf.encoder import Encoder


class EncoderSystem:
    """One trained encoder. Torch is imported only for those whose scores change with the history.

    Args:
        folder: the encoder's.

    Raises:
        ModelError: it can't be read.
    """

    def __init__(self, folder: Path) -> None:
        """Read its config.json; the rest is read when it is wanted."""
        self.folder, config = folder, read_config(folder)
        shared = (folder / VECTORS).exists()  # trainings with further seeds keep their model alone
        reads = config["reads_history"]
        self.by_vectors = shared and reads == "none"
        self.history_length = {"none": 0, "latest": config["shape"]["history_length"], "all": None}[reads]

    def prepare(self) -> None:
        """Load the vectors or the encoder now."""
        _ = self.arrays if self.by_vectors else self.model

    def about_user(self, known: bool) -> str:
        """Say what a score knows of a user."""
        if not self.by_vectors:
            return "the history, read by the encoder"
        return "the user's vector from train" if known else "the items alone: a new user has no vector"

    @cached_property
    def arrays(self) -> Arrays:
        """The vectors."""
        return Arrays.load(self.folder)

    @cached_property
    def model(self) -> Encoder:
        """The whole encoder, on the GPU where there is one."""
        import torch

        from thinkrec.cf.folder import load_encoder

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return load_encoder(self.folder).to(device)

    def score(self, candidates: Candidates) -> np.ndarray:
        """Score candidates: logits, [n] float32.

        An unknown user leaves the item's bias, an unknown item the user's. A sequence encoder reads the
        history, whoever the user is; the others know a user of train by the id.

        Raises:
            ModelError: the encoder was trained on data with fewer users or items.
        """
        data, items = candidates.data, candidates.items
        if self.by_vectors:
            users, known = len(self.arrays.user), len(self.arrays.item)
        else:
            users, known = len(self.model.user_index), len(self.model.item_index)
        check_ids(self.folder, data.user_id, users, "user")
        check_ids(self.folder, np.append(items, data.item_id), known, "item")
        if self.by_vectors:
            return self.arrays.score(data.user_id[candidates.rows], items)
        return self.model.score(data, candidates.rows, candidates.protocol, items)

    def seeds(self) -> dict[int, System]:
        """The same trained with further seeds, by seed."""
        folders = sorted(self.folder.glob("seeds/*"), key=lambda folder: int(folder.name))
        return {int(folder.name): EncoderSystem(folder) for folder in folders}
