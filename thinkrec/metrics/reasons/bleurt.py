"""BLEURT, a learned metric, by the package bleurt-pytorch under today's transformers."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thinkrec.errors import ModelError
from thinkrec.metrics.reasons.names import BLEURT_20
from thinkrec.metrics.reasons.shims import bleurt_classes

log = logging.getLogger(__name__)
CONFIG, PIECES, WEIGHTS = "config.json", "spm.model", ("model.safetensors", "pytorch_model.bin")
_SPECIAL = ("[CLS]", "[SEP]", "[PAD]")
_BATCH = 16


@dataclass(frozen=True)
class Pairs:
    """Encoded pairs of one batch, padded on the right. Shapes: B pairs, T tokens.

    Args:
        ids: [B, T] int64.
        types: [B, T], 0 in `[CLS] reference [SEP]`, 1 in `candidate [SEP]`.
        mask: [B, T], 1 on tokens, 0 on padding.
    """

    ids: Tensor
    types: Tensor
    mask: Tensor


def find_folder(name: str) -> Path:
    """Find a checkpoint: a folder, or a hub's name, whose few files are downloaded once.

    Raises:
        ModelError: it is no folder, and the hub does not give it; the message says what to do.
    """
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    folder: Path | None = None
    try:
        for weights in WEIGHTS:
            folder = Path(snapshot_download(name, allow_patterns=[CONFIG, PIECES, weights]))
            if (folder / weights).exists():
                break
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"evaluate.bleurt: {name} is no folder, and the hub does not give it ({type(error).__name__}): "
            "download it where there is a network, and name its folder"
        ) from error
    assert folder is not None
    return folder


class Bleurt:
    """A BLEURT checkpoint that cuts texts by sentencepiece, such as BLEURT-20.

    Args:
        folder: config.json, spm.model, and the weights as safetensors or as a pickle of tensors.
        device: where it computes.
    """

    def __init__(self, folder: Path, device: str | torch.device = "cpu") -> None:
        """Load the checkpoint; no code of the folder runs.

        Raises:
            ConfigError: bleurt-pytorch is not installed.
            ModelError: a file is missing, or does not fit.
        """
        import sentencepiece

        missing = [name for name in (CONFIG, PIECES) if not (folder / name).is_file()]
        if missing:
            raise ModelError(
                f"evaluate.bleurt: {folder} has no {' and no '.join(missing)}: name the folder of a "
                f"checkpoint with sentencepiece, such as {BLEURT_20}"
            )
        configuration, model = bleurt_classes()
        config = configuration(**json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        self.model: Any = model(config)
        self._load(folder)
        self.model.eval().to(device)
        self.device, self.longest = torch.device(device), int(config.max_position_embeddings)
        self.pieces: Any = sentencepiece.SentencePieceProcessor(model_file=str(folder / PIECES))
        self.special = [self.pieces.piece_to_id(piece) for piece in _SPECIAL]
        if self.pieces.unk_id() in self.special or self.pieces.get_piece_size() > config.vocab_size:
            raise ModelError(
                f"evaluate.bleurt: {folder / PIECES} lacks one of {', '.join(_SPECIAL)} or has more pieces "
                "than the model has vectors: copy the whole checkpoint again"
            )

    def _load(self, folder: Path) -> None:
        """Put the weights in, all of them and no others.

        Raises:
            ModelError: the file is missing or damaged, or is of another model.
        """
        from pickle import UnpicklingError

        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
        if path is None:
            raise ModelError(f"evaluate.bleurt: {folder} has no weights, neither {' nor '.join(WEIGHTS)}")
        try:
            if path.suffix == ".safetensors":
                found = load_file(path)
            else:
                found = torch.load(path, map_location="cpu", weights_only=True)
            fits = self.model.load_state_dict(found, strict=False)
        except (SafetensorError, UnpicklingError, RuntimeError, EOFError, OSError) as error:
            raise ModelError(
                f"evaluate.bleurt: {path} can't be read as this model's weights ({error}): copy it again"
            ) from error
        # Positions are counted, not learned: some checkpoints hold the buffer, some don't.
        wrong = [key for key in [*fits.missing_keys, *fits.unexpected_keys] if "position_ids" not in key]
        if wrong:
            raise ModelError(
                f"evaluate.bleurt: {path} is not of this model: {wrong[0]} and {len(wrong) - 1} more lack or "
                "do not belong; name another checkpoint"
            )

    def encode(self, references: Sequence[str], candidates: Sequence[str]) -> Pairs:
        """Lay out pairs as `[CLS] reference [SEP] candidate [SEP]`; the longer text is cut to fit."""
        start, end, padding = self.special
        rows, lengths = [], []
        for reference, candidate in zip(references, candidates, strict=True):
            pair: list[list[int]] = [self.pieces.encode(reference), self.pieces.encode(candidate)]
            while sum(map(len, pair)) > self.longest - 3:
                pair[len(pair[0]) <= len(pair[1])].pop()
            rows.append([start, *pair[0], end, *pair[1], end])
            lengths.append((len(pair[0]) + 2, len(pair[1]) + 1))
        longest = max(map(len, rows))
        ids = torch.tensor([row + [padding] * (longest - len(row)) for row in rows])
        place = torch.arange(longest)[None, :]
        first = torch.tensor([one for one, _ in lengths])[:, None]
        whole = first + torch.tensor([other for _, other in lengths])[:, None]
        return Pairs(ids, ((place >= first) & (place < whole)).long(), (place < whole).long())

    @torch.inference_mode()
    def score(self, references: Sequence[str], candidates: Sequence[str]) -> list[float]:
        """Score candidates against their references, [n]; of BLEURT-20 about 0 (unlike) to 1 (the same).

        Raises:
            ValueError: the lists differ in length.
        """
        lengths = [len(one) + len(other) for one, other in zip(references, candidates, strict=True)]
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        scores = [0.0] * len(lengths)
        for first in range(0, len(order), _BATCH):
            some = order[first : first + _BATCH]
            pairs = self.encode([references[k] for k in some], [candidates[k] for k in some])
            places = torch.arange(pairs.ids.shape[1], device=self.device)[None, :]
            logits = self.model(
                input_ids=pairs.ids.to(self.device),
                attention_mask=pairs.mask.to(self.device),
                token_type_ids=pairs.types.to(self.device),
                position_ids=places,
            ).logits
            for place, value in zip(some, logits.flatten().tolist(), strict=True):
                scores[place] = float(value)
        return scores
