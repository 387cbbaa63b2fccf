"""Training checkpoints: weights, optimizer state and curve in one safetensors file."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from thinkrec.files import whole

log = logging.getLogger(__name__)
_WEIGHTS, _BEST, _ADAM = "weights.", "best.", "adam."


@dataclass
class Progress:
    """State of a training.

    Args:
        epoch: number of finished epochs.
        best_epoch: epoch with the highest valid AUC, 0 before the first.
        best_auc: its valid AUC.
        curve: (epoch, series, value) so far.
        best: weights of the best epoch.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_auc: float = -1.0
    curve: list[tuple[int, str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Checkpoint:
    """A checkpoint file, written at most every `seconds`, since writing may take longer than an epoch.

    Args:
        path: the file.
        key: fingerprint of parameters and input; a file with another key is ignored.
        seconds: minimum time between two writes; 0 writes after every epoch.
    """

    path: Path
    key: str
    seconds: float = 5.0
    written: float = field(default_factory=time.monotonic)

    def save(self, model: nn.Module, adam: torch.optim.Adam, progress: Progress) -> None:
        """Write the checkpoint if it is due."""
        if time.monotonic() - self.written < self.seconds:
            return
        tensors = {_WEIGHTS + name: value for name, value in model.state_dict().items()}
        tensors |= {_BEST + name: value for name, value in progress.best.items()}
        for number, state in adam.state_dict()["state"].items():
            tensors |= {f"{_ADAM}{number}.{name}": value for name, value in state.items()}
        facts = {name: value for name, value in vars(progress).items() if name != "best"}
        with whole(self.path) as beside:
            progress_json = json.dumps(facts)
            metadata = {"key": self.key, "progress": progress_json, "seal": _seal(tensors, progress_json)}
            # save_file's errors hide that a disk is full.
            beside.write_bytes(save({name: value.contiguous() for name, value in tensors.items()}, metadata))
        self.written = time.monotonic()

    def resume(self, model: nn.Module, adam: torch.optim.Adam) -> Progress:
        """Load the saved state into `model` and `adam`; start over without an intact file of this key."""
        if not self.path.is_file():  # reading a pipe would hang
            return Progress()
        try:
            with safe_open(self.path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            log.warning("%s can't be read (%s): training starts over", self.path, error)
            return Progress()
        if metadata.get("key") != self.key:
            log.info("%s is of other parameters or data: training starts over", self.path)
            return Progress()
        progress_json = metadata.get("progress", "")
        if metadata.get("seal") != _seal(tensors, progress_json):
            log.warning("%s is damaged: training starts over", self.path)
            return Progress()
        weights = _with_prefix(tensors, _WEIGHTS)
        if {name: each.shape for name, each in weights.items()} != {
            name: each.shape for name, each in model.state_dict().items()
        }:
            log.info("%s is of another version's encoder: training starts over", self.path)
            return Progress()
        model.load_state_dict(weights)
        _restore(adam, _with_prefix(tensors, _ADAM))
        facts = json.loads(progress_json)
        curve = [(epoch, series, value) for epoch, series, value in facts.pop("curve")]
        return Progress(**facts, curve=curve, best=_with_prefix(tensors, _BEST))


def _seal(tensors: dict[str, Tensor], progress: str) -> str:
    """Hash a checkpoint's whole content."""
    digest = hashlib.sha256(progress.encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _restore(adam: torch.optim.Adam, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, part = name.partition(".")
        state.setdefault(int(number), {})[part] = value
    adam.load_state_dict({"state": state, "param_groups": adam.state_dict()["param_groups"]})
