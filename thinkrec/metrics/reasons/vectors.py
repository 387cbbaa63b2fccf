"""Similarity of sentence vectors, such as those of all-MiniLM-L6-v2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thinkrec.errors import ModelError

_LONGEST = 256
"""Tokens of a text that count, as in all-MiniLM-L6-v2's own settings."""
_BATCH = 32


class SentenceVectors:
    """An encoder whose mean over tokens, normalised, is a text's vector.

    Args:
        folder: of a model that transformers reads: config.json, tokenizer.json, model.safetensors.
        device: where it computes.
    """

    def __init__(self, folder: Path, device: str | torch.device = "cpu") -> None:
        """Load the model; no code of the folder runs, no pickle is read, no network is asked.

        Raises:
            ModelError: a file is missing or damaged.
        """
        from safetensors import SafetensorError
        from transformers import AutoModel, AutoTokenizer

        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, **options)
            self.model: Any = AutoModel.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, **options
            )
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            first = str(error).strip().partition("\n")[0]
            raise ModelError(
                f"evaluate.sentence_model: {folder} can't be read as a model ({first}): run "
                "`thinkrec fetch minilm`, or name another folder"
            ) from error
        self.model.eval().to(device)
        self.device = torch.device(device)
        self._known: dict[str, np.ndarray] = {}

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of texts, [n, D] float32 of length 1."""
        order = sorted(range(len(texts)), key=lambda k: len(texts[k]))
        found: dict[int, np.ndarray] = {}
        for first in range(0, len(order), _BATCH):
            some = order[first : first + _BATCH]
            batch = self.tokenizer(
                [texts[k] for k in some],
                padding=True,
                truncation=True,
                max_length=_LONGEST,
                return_tensors="pt",
            ).to(self.device)
            states = self.model(**batch).last_hidden_state  # [B, T, D]
            mask = batch["attention_mask"][:, :, None].to(states.dtype)
            means = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            vectors = torch.nn.functional.normalize(means, dim=1).float().cpu().numpy()
            found.update(zip(some, vectors, strict=True))
        return np.stack([found[k] for k in range(len(texts))]) if texts else np.empty((0, 0), np.float32)

    def similarity(self, references: Sequence[str], candidates: Sequence[str]) -> list[float]:
        """Return the cosine of each candidate's and its reference's vectors, -1..1; NaN if a text is empty.

        Raises:
            ValueError: the lists differ in length.
        """
        new = [text for text in dict.fromkeys([*references, *candidates]) if text not in self._known]
        self._known.update(zip(new, self.encode(new), strict=True))  # several systems share their references
        return [
            float(self._known[one] @ self._known[other]) if one.strip() and other.strip() else float("nan")
            for one, other in zip(references, candidates, strict=True)
        ]
