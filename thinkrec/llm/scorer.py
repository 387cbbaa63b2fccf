"""Scores of many rows: histories encoded once, batches of like length, two rows of the head, any users."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor
from tqdm import tqdm

from thinkrec.errors import ModelError
from thinkrec.llm.backbone import Backbone
from thinkrec.llm.batches import Batch, Example, Packed, by_length, collate
from thinkrec.llm.loss import Score, scores
from thinkrec.llm.packing import shared_prefixes

log = logging.getLogger(__name__)
MOST_TOKENS = 2048
"""Longest row of candidates behind one history; attention costs its square (our choice)."""
Numbered = tuple[list[int], Example | Packed]


def laid_out(examples: Sequence[Example], item_token: int, size: int) -> Iterator[list[Numbered]]:
    """Batches of rows for scoring, each with the numbers of its examples; `size` scores a batch, about.

    Prompts with a common beginning lie in one packed row, all others in plain ones; a batch holds rows of
    one kind and of like length, longest first.
    """
    rows = list(shared_prefixes(examples, item_token, MOST_TOKENS))
    plain: list[Numbered] = [([numbers[0]], examples[numbers[0]]) for numbers, _ in rows if len(numbers) == 1]
    packed: list[Numbered] = [(numbers, row) for numbers, row in rows if len(numbers) > 1]
    for kind in (packed, plain):
        batch: list[Numbered] = []
        for index in by_length([row for _, row in kind], 1):
            numbered = kind[index[0]]
            if batch and sum(len(numbers) for numbers, _ in batch) + len(numbered[0]) > size:
                yield batch
                batch = []
            batch.append(numbered)
        if batch:
            yield batch


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

    Where memory does not suffice for a batch it is halved, which is logged.

    Args:
        hidden: maps a batch to its last hidden states, [B, T, H]: a Student, or a model in training.
        backbone: for the head, the answers and the padding.
        examples: prompts; what follows the answer's start is not read.
        size: scores of one forward pass.
        kind: which logits make the score.
        show: title of a progress bar, or None for none.

    Raises:
        ModelError: a score is not finite.
    """
    found = np.empty(len(examples), dtype=np.float32)
    device = backbone.head.device

    def forward(rows: list[Numbered]) -> None:
        try:
            batch = collate([row for _, row in rows], backbone.pad).to(device)
            values = scores(hidden(batch), backbone.head, batch, backbone.answers, kind)
        except RuntimeError as error:
            if not should_reduce_batch_size(error) or len(rows) == 1:
                raise
        else:
            found[[number for numbers, _ in rows for number in numbers]] = values.cpu().numpy()
            return
        clear_device_cache()
        log.warning("out of memory with %d rows of a batch: half as many", len(rows))
        forward(rows[: len(rows) // 2])
        forward(rows[len(rows) // 2 :])

    bar = tqdm(total=len(examples), desc=show, unit="row", disable=show is None)
    for rows in laid_out(examples, backbone.placeholders[1], size):
        forward(rows)
        bar.update(sum(len(numbers) for numbers, _ in rows))
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
