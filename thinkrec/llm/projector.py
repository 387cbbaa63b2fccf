"""The projector from collaborative vectors into the backbone's embedding space."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from thinkrec.errors import ModelError
from thinkrec.files import read_json, write_json

NEAR = 0.1
"""How far vectors move the output of an untrained projector, over the norm of an embedding (our choice)."""


class Projector(nn.Module):
    """Linear(d, expansion * d) - ReLU - Linear(expansion * d, hidden), one token per vector.

    Vectors are first standardised over the known users and items, and the output begins near one embedding of
    the backbone (both our choice). Unknown users and items, whose vector is zero, share a learned embedding
    (our choice).

    Source: ThinkRec, section 3.4; expansion from the release.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, width: int, hidden: int, expansion: int) -> None:
        """Initialise for vectors of `width` and embeddings of width `hidden`."""
        super().__init__()
        self.config = {"width": width, "hidden": hidden, "expansion": expansion}
        self.first = nn.Linear(width, expansion * width)
        self.last = nn.Linear(expansion * width, hidden)
        self.unknown = nn.Parameter(torch.randn(hidden) / hidden**0.5)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    @torch.no_grad()
    def start_near(self, embedding: Tensor) -> None:
        """Begin near an embedding, [hidden], from which vectors move the output by NEAR of its norm.

        An untrained projector then disturbs no prompt that could hold the embedding's token.
        """
        self.last.bias.zero_()
        drawn = torch.randn(64, self.first.in_features)
        typical = self.last(torch.relu(self.first(drawn))).norm(dim=-1).mean()
        self.last.weight.mul_(NEAR * embedding.norm() / typical)
        self.last.bias.copy_(embedding)
        self.unknown.copy_(embedding)

    def standardise(self, vectors: Tensor) -> None:
        """Set mean and spread from the nonzero vectors, [n, d]."""
        known = vectors[vectors.any(dim=1)]
        self.mean.copy_(known.mean(0))
        self.spread.copy_(known.std(0).clamp_min(1e-4))

    def forward(self, vectors: Tensor) -> Tensor:
        """Map [n, d] to [n, hidden]."""
        known = vectors.any(dim=1, keepdim=True)
        scaled = ((vectors - self.mean) / self.spread).clamp(-6, 6)
        return torch.where(known, self.last(torch.relu(self.first(scaled))), self.unknown)

    def save(self, folder: Path) -> None:
        """Write projector.safetensors and config.json into an existing folder.

        Raises:
            ModelError: a weight is not finite.
        """
        weights = {name: value.cpu().contiguous() for name, value in self.state_dict().items()}
        if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
            raise ModelError(
                "the projector's weights are not finite, its training diverged; lower "
                "projector.learning_rate in params.yaml"
            )
        (folder / "projector.safetensors").write_bytes(save(weights))  # save_file would hide a full disk
        write_json(folder / "config.json", self.config)

    @classmethod
    def load(cls, folder: Path) -> Projector:
        """Read what `save` wrote.

        Raises:
            ModelError: the folder can't be read or its weights do not fit its config.
        """
        try:
            found = cls(**read_json(folder / "config.json"))
            found.load_state_dict(load_file(folder / "projector.safetensors"))
        except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"projector {folder} can't be read: {error}; train it again") from error
        return found
