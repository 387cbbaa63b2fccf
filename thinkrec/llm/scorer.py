"""Scores of many rows: batches of like length, two rows of the head, any mixture of users in a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from thinkrec.errors import ModelError
from thinkrec.llm.backbone import Backbone
from thinkrec.llm.batches import Batch, Example, by_length, collate
from thinkrec.llm.loss import Score, scores


@torch.no_grad()
def score_examples(
    hidden: Callable[[Batch], Tensor],
    backbone: Backbone,
    examples: Sequence[Example],
    size: int,
    kind: Score,
    show: str | None = None,
) -> np.ndarray:
    """Score prompts, [n] float32, in the order given.

    Args:
        hidden: maps a batch to its last hidden states, [B, T, H]: a Student, or a model in training.
        backbone: for the head, the answers and the padding.
        examples: prompts; what follows the answer's start is not read.
        size: rows of one forward pass.
        kind: which logits make the score.
        show: title of a progress bar, or None for none.

    Raises:
        ModelError: a score is not finite.
    """
    found = np.empty(len(examples), dtype=np.float32)
    device = backbone.head.device
    bar = tqdm(total=len(examples), desc=show, unit="row", disable=show is None)
    for index in by_length(examples, size):
        batch = collate([examples[number] for number in index], backbone.pad).to(device)
        found[index] = scores(hidden(batch), backbone.head, batch.start, backbone.answers, kind).cpu().numpy()
        bar.update(len(index))
    bar.close()
    if not np.isfinite(found).all():
        row = examples[int(np.flatnonzero(~np.isfinite(found))[0])].row
        raise ModelError(
            f"the score of row {row} is not finite: the adapters or the backbone hold NaN or overflow"
        )
    return found


def check_applied(adapted: np.ndarray, bare: np.ndarray, what: str) -> None:
    """Prove that an adapter or projector changes scores (guarantee 2).

    Raises:
        ModelError: it changes none of the probe's scores.
    """
    if np.allclose(adapted, bare, rtol=0, atol=1e-6):
        raise ModelError(
            f"{what} changes no score of the probe: it is untrained or not applied; train it again"
        )
