"""The score and the joint loss; the output head is computed only where needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from thinkrec.llm.batches import Batch

Score = Literal["yes_logit", "yes_minus_no"]


CHUNK = 256
"""Number of answer tokens whose logits are held at once: [256, V], 131 MB with a vocabulary of 128,000."""


def scores(hidden: Tensor, head: Tensor, batch: Batch, answers: tuple[int, int], kind: Score) -> Tensor:
    """Return the scores of a batch's targets, each read at the token before its answer, [N] float32.

    Args:
        hidden: last hidden states, [B, T, H].
        head: output head, [V, H]; only two of its rows are used.
        batch: positions of the targets.
        answers: token ids of Yes and No.
        kind: the logit of Yes (as in the paper), or that minus the logit of No.
    """
    logits = hidden[batch.line, batch.at].float() @ head[list(answers)].float().T
    return logits[:, 0] if kind == "yes_logit" else logits[:, 0] - logits[:, 1]


@dataclass(frozen=True)
class JointLoss:
    """The two losses of each target and their weighted sum, [N] float32 each."""

    bce: Tensor
    ce: Tensor
    total: Tensor


def joint_loss(
    hidden: Tensor, head: Tensor, batch: Batch, answers: tuple[int, int], kind: Score
) -> JointLoss:
    """Return binary cross-entropy of the score and token cross-entropy of the answer, weighted per target.

    A target's token cross-entropy is the mean over its answer tokens. The head is computed for answer tokens
    only, in chunks, never for the whole [B, T].

    Shapes: hidden [B, T, H], head [V, H].

    Source: ThinkRec, section 3.2; weights from the release.
    """
    score = scores(hidden, head, batch, answers, kind)
    bce = functional.binary_cross_entropy_with_logits(score, batch.label, reduction="none")
    each = answer_losses(hidden[batch.line[batch.answered], batch.spoken], head, batch.answer)
    counts = torch.bincount(batch.answered, minlength=len(bce)).clamp_min(1)
    ce = torch.zeros_like(bce).index_add(0, batch.answered, each) / counts
    return JointLoss(bce, ce, batch.bce * bce + batch.ce * ce)


class _AnswerLosses(torch.autograd.Function):
    """Cross-entropy of tokens under a frozen head, with its gradient computed in the forward pass.

    Thus no chunk's logits are kept, only the gradient of the hidden states, [S, H].
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, token: Tensor) -> Tensor:
        losses = torch.empty(len(token), device=hidden.device)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for first in range(0, len(token), CHUNK):
            part = slice(first, first + CHUNK)
            logits = (hidden[part].to(head.dtype) @ head.T).float()
            own = torch.arange(len(logits), device=logits.device), token[part]
            normal = logits.logsumexp(1)
            losses[part] = normal - logits[own]
            if gradient is not None:
                share = logits.sub_(normal[:, None]).exp_()
                share[own] -= 1
                gradient[part] = (share.to(head.dtype) @ head).to(gradient.dtype)
        ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0][:, None].to(gradient.dtype), None, None


def answer_losses(hidden: Tensor, head: Tensor, token: Tensor) -> Tensor:
    """Return the cross-entropy of each answer token, [S] float32, with at most CHUNK rows of logits at once.

    Shapes: hidden [S, H], head [V, H] (frozen: it gets no gradient), token [S].

    Source: our choice, after Liger's fused linear cross-entropy (Hsu et al. 2024).
    """
    found: Tensor = _AnswerLosses.apply(hidden, head.detach(), token)
    return found
