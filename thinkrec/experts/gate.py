"""The gate: which experts a user gets, and with what weights."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from scipy.special import softmax, xlogy

from thinkrec.errors import ModelError


class Kind(IntEnum):
    """Why a row has its weights."""

    UNKNOWN = 0
    """no vector: the global LoRA"""
    AVERAGED = 1
    """experts are nearly alike for this user: the global LoRA"""
    CONCENTRATED = 2
    """one expert alone"""
    MIXED = 3
    """a weighted sum of experts"""


@dataclass(frozen=True)
class GateRows:
    """The gate's decisions, one a row.

    Args:
        weights: [B, K + 1] float32, rows sum to 1; column 0 is the global LoRA, column k expert k.
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
    """Weights of the global LoRA and of each expert.

    w = softmax(cos(e_u, m_k) / temperature). One expert alone when max w > a + b / K; the global LoRA when
    entropy(w) >= averaged * ln K, or when the user's vector is zero (unknown to train); else w. With a
    single expert every known user gets it.

    Columns in which all means are zero are left out of the cosine: they tell no expert from another, and a
    vector's constant 1 (which carries the item's bias) would make all cosines alike. The cosine with a zero
    mean, or of a vector that is zero in all other columns, is 0: neither like nor unlike.

    Shapes: B rows, K experts, d columns.

    Args:
        user_vectors: [B, d], zero for unknown users.
        means: experts' mean vectors, [K, d].
        temperature: of the softmax, above 0.
        concentrated: (a, b).
        averaged: share of the highest entropy, 0 to 1.

    Raises:
        ModelError: no expert, another width, or values that are not finite.

    Source: the paper, section 3.3.2; thresholds of the release; columns left out are our choice.
    """
    _check(user_vectors, means)
    rows, experts = len(user_vectors), len(means)
    weights = softmax(_cosines(user_vectors, means) / temperature, axis=1)
    known = (user_vectors != 0).any(1)
    entropy = -xlogy(weights, weights).sum(1)
    a, b = concentrated
    single = known & ((weights.max(1) > a + b / experts) | (experts == 1))
    # A tolerance, since the entropy of equal weights may come out a rounding error below ln K.
    alike = known & ~single & (entropy >= averaged * np.log(experts) - 1e-9)
    conditions = [~known, alike, single]
    kind = np.select(conditions, [Kind.UNKNOWN, Kind.AVERAGED, Kind.CONCENTRATED], Kind.MIXED).astype(np.int8)
    weights[single] = np.eye(experts)[weights[single].argmax(1)]
    general = ~known | alike
    weights[general] = 0
    whole = np.concatenate([general[:, None], weights], axis=1).astype(np.float32)
    return GateRows(whole.reshape(rows, experts + 1), kind)


def _cosines(user_vectors: np.ndarray, means: np.ndarray) -> np.ndarray:
    telling = (means != 0).any(0)
    users, experts = user_vectors[:, telling].astype(np.float64), means[:, telling].astype(np.float64)
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
