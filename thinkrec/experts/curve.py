"""The gate's decisions as a curve over its temperature and thresholds, and what it could decide instead."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from thinkrec.config.sections import Gate
from thinkrec.experts.gate import Kind, gate

FACTORS = tuple(2.0**step for step in range(-5, 6))
"""Factors of the configured temperature."""
TOP_WEIGHTS = tuple(step / 20 for step in range(6, 21))
"""Top weights above which one expert alone is taken."""
ENTROPIES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1.0)
"""Shares of the greatest entropy from which the global LoRA is taken."""
KINDS = (Kind.AVERAGED, Kind.CONCENTRATED, Kind.MIXED)


def configured(options: Gate, experts: int) -> dict[str, float]:
    """Return the values of the three parameters of the curve, given the number of experts."""
    top = options.concentrated[0] + options.concentrated[1] / experts
    return {"temperature": options.temperature, "concentrated": top, "averaged": options.averaged}


def gate_curve(
    vectors: np.ndarray, means: np.ndarray, options: Gate
) -> Iterator[tuple[str, float, str, float]]:
    """Vary one parameter of the gate at a time, the others as configured.

    Shapes: U users, K experts, d columns.

    Args:
        vectors: of the users, [U, d]; users whose vector is zero are left out.
        means: mean vectors of the experts, [K, d].
        options: the configured gate.

    Yields:
        parameter, value, kind, and the share of users whom the gate decides so. Parameters are
        `temperature`, `concentrated` (the top weight a + b / K) and `averaged`, ascending, the configured
        value among them. Nothing if no user has a vector.

    Raises:
        ModelError: see `gate`.
    """
    known = vectors[(vectors != 0).any(1)]
    if not len(known):
        return
    own = configured(options, len(means))
    grids = {
        "temperature": [options.temperature * factor for factor in FACTORS],
        "concentrated": [*TOP_WEIGHTS, own["concentrated"]],
        "averaged": [*ENTROPIES, options.averaged],
    }
    for name, grid in grids.items():
        for value in sorted({float(f"{each:.6g}") for each in grid}):
            now = own | {name: value}
            kind = gate(known, means, now["temperature"], (now["concentrated"], 0), now["averaged"]).kind
            for each in KINDS:
                yield name, value, each.name.lower(), round(float((kind == each).mean()), 6)


def ways(vectors: np.ndarray, means: np.ndarray, options: Gate) -> dict[str, np.ndarray]:
    """Return the weights of the global LoRA and of each expert under the gate and under simpler rules.

    Users without a vector get the global LoRA under each.

    Args:
        vectors: of the users, [U, d].
        means: mean vectors of the experts, [K, d].
        options: the configured gate.

    Returns:
        Weights [U, K + 1] float32 of: `gate`, as configured; `averaged`, the global LoRA for everybody;
        `nearest`, the nearest expert alone; `mixed`, the softmax over all experts.

    Raises:
        ModelError: see `gate`.
    """
    found = {
        "gate": gate(vectors, means, options.temperature, options.concentrated, options.averaged).weights,
        # Every top weight is above 0, and none is above 1 nor an entropy at twice the greatest.
        "nearest": gate(vectors, means, options.temperature, (0, 0), options.averaged).weights,
        "mixed": gate(vectors, means, options.temperature, (1, 1), 2).weights,
    }
    averaged = np.zeros_like(found["gate"])
    averaged[:, 0] = 1
    return {"gate": found["gate"], "averaged": averaged, "nearest": found["nearest"], "mixed": found["mixed"]}
