"""The score and the joint loss, with the head computed only where it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from thinkrec.llm.batches import Batch

Score = Literal["yes_logit", "yes_minus_no"]


def scores(hidden: Tensor, head: Tensor, start: Tensor, answers: tuple[int, int], kind: Score) -> Tensor:
    """Read the score at the first answer token, [B] float32.

    Args:
        hidden: last hidden states, [B, T, H].
        head: output head, [V, H]; only two of its rows are used.
        start: index of the first answer token, [B].
        answers: token ids of Yes and No.
        kind: the logit of Yes (the paper's), or its difference to that of No.
    """
    at = hidden[torch.arange(len(start), device=hidden.device), start - 1].float()
    logits = at @ head[list(answers)].float().T
    return logits[:, 0] if kind == "yes_logit" else logits[:, 0] - logits[:, 1]


@dataclass(frozen=True)
class JointLoss:
    """Unweighted losses of each row and their weighted sum, all [B] float32."""

    bce: Tensor
    ce: Tensor
    total: Tensor


def joint_loss(
    hidden: Tensor, head: Tensor, batch: Batch, answers: tuple[int, int], kind: Score
) -> JointLoss:
    """Binary cross-entropy of the score and token cross-entropy of the answer, weighted per row.

    A row's cross-entropy is the mean over its answer tokens. The head runs over answer tokens only,
    never over the whole [B, T].

    Shapes: hidden [B, T, H], head [V, H].

    Source: ThinkRec, section 3.2; weights from the release.
    """
    score = scores(hidden, head, batch.start, answers, kind)
    bce = functional.binary_cross_entropy_with_logits(score, batch.label, reduction="none")
    place = torch.arange(batch.ids.shape[1], device=hidden.device)
    answered = (place >= batch.start[:, None]) & (place < batch.end[:, None]) & (batch.ce > 0)[:, None]
    row, token = answered.nonzero(as_tuple=True)
    logits = hidden[row, token - 1].float() @ head.float().T
    each = functional.cross_entropy(logits, batch.ids[row, token], reduction="none")
    ce = torch.zeros_like(bce).index_add(0, row, each) / answered.sum(1).clamp_min(1)
    return JointLoss(bce, ce, batch.bce * bce + batch.ce * ce)
