"""The gate: the weights of the experts for a user."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from scipy.special import softmax, xlogy

from thinkrec.errors import ModelError


class Kind(IntEnum):
    """How a row's weights were chosen."""

    UNKNOWN = 0
    """no user vector: the global LoRA"""
    AVERAGED = 1
    """nearly uniform weights: the global LoRA"""
    CONCENTRATED = 2
    """a single expert"""
    MIXED = 3
    """a weighted sum of experts"""


@dataclass(frozen=True)
class GateRows:
    """The gate's weights of each row.

    Args:
        weights: [B, K + 1] float32, rows sum to 1; column 0 is the global LoRA, column k is expert k.
        kind: [B] int8, a `Kind`.
    """

    weights: np.ndarray
    kind: np.ndarray


def gate(
    user_vectors: np.ndarray,
    means: np.ndarray,
    temperature: float,
    concentrated: tuple[float, float],
    averaged: float,
) -> GateRows:
    """Return the weights of the global LoRA and of each expert.

    w = softmax(cos(e_u, m_k) / temperature). The result is a single expert if max w > a + b / K; the global
    LoRA if entropy(w) >= averaged * ln K, or if the user's vector is zero (not in train); else w. With one
    expert, every known user gets it.

    Columns in which all means are zero are left out of the cosine: they do not distinguish experts, and the
    constant 1 of augmented vectors (the factor of the item's bias) would make all cosines similar. The cosine
    with a zero mean, or of a vector that is zero in all other columns, is 0.

    Shapes: B rows, K experts, d columns.

    Args:
        user_vectors: [B, d], zero for unknown users.
        means: mean vectors of the experts, [K, d].
        temperature: of the softmax, above 0.
        concentrated: (a, b).
        averaged: share of the maximum entropy, 0 to 1.

    Raises:
        ModelError: there is no expert, widths differ, or values are not finite.

    Source: the paper, section 3.3.2; thresholds of the release; excluding columns is our choice.
    """
    _check(user_vectors, means)
    rows, experts = len(user_vectors), len(means)
    weights = softmax(_cosines(user_vectors, means) / temperature, axis=1)
    known = (user_vectors != 0).any(1)
    entropy = -xlogy(weights, weights).sum(1)
    a, b = concentrated
    single = known & ((weights.max(1) > a + b / experts) | (experts == 1))
    # The tolerance absorbs rounding: the entropy of equal weights may fall just below ln K.
    uniform = known & ~single & (entropy >= averaged * np.log(experts) - 1e-9)
    conditions = [~known, uniform, single]
    kind = np.select(conditions, [Kind.UNKNOWN, Kind.AVERAGED, Kind.CONCENTRATED], Kind.MIXED).astype(np.int8)
    weights[single] = np.eye(experts)[weights[single].argmax(1)]
    general = ~known | uniform
    weights[general] = 0
    # Column 0 is the global LoRA's weight: [B, 1] and [B, K] -> [B, K + 1].
    gated = np.concatenate([general[:, None], weights], axis=1).astype(np.float32)
    return GateRows(gated.reshape(rows, experts + 1), kind)


def _cosines(user_vectors: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return the cosines of users and experts over columns with a nonzero mean, [B, K] float64."""
    used = (means != 0).any(0)
    users, experts = user_vectors[:, used].astype(np.float64), means[:, used].astype(np.float64)
    length = np.linalg.norm(users, axis=1)[:, None] * np.linalg.norm(experts, axis=1)[None, :]
    return np.divide(users @ experts.T, length, out=np.zeros_like(length), where=length > 0)


def _check(user_vectors: np.ndarray, means: np.ndarray) -> None:
    if not len(means):
        raise ModelError("the gate has no expert to choose from: run `thinkrec cluster` again")
    if user_vectors.shape[1:] != means.shape[1:]:
        raise ModelError(
            f"user vectors have {user_vectors.shape[1]} columns, experts' means {means.shape[1]}: they "
            "are of different encoders; run `thinkrec cluster` again"
        )
    for name, values in (("user vectors", user_vectors), ("experts' means", means)):
        if not np.isfinite(values).all():
            raise ModelError(
                f"{name} hold values that are not finite: run `thinkrec cf` and `thinkrec cluster` again"
            )
