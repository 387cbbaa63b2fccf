"""The gate's curve, and what it is compared with."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from thinkrec.config.sections import Gate
from thinkrec.experts.curve import gate_curve, ways
from thinkrec.experts.gate import Kind, gate

MEANS = np.eye(3)
OPTIONS = Gate(temperature=0.3, concentrated=(0.5, 0.6), averaged=0.9)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Vectors of 200 users from near one mean to between all, and of one without any."""
    rng = np.random.default_rng(0)
    drawn = rng.dirichlet([0.6, 0.6, 0.6], 200)
    return np.vstack([np.zeros(3), drawn])


def table(vectors: np.ndarray) -> dict[str, dict[float, dict[str, float]]]:
    found: dict[str, dict[float, dict[str, float]]] = {}
    for parameter, value, kind, share in gate_curve(vectors, MEANS, OPTIONS):
        found.setdefault(parameter, {}).setdefault(value, {})[kind] = share
    return found


def test_the_configured_point_of_each_parameter_is_the_gates_own_decision(vectors: np.ndarray) -> None:
    kind = gate(vectors[1:], MEANS, 0.3, (0.5, 0.6), 0.9).kind
    own = {each.name.lower(): round(float((kind == each).mean()), 6) for each in list(Kind)[1:]}
    assert all(0 < share < 1 for share in own.values())
    curve = table(vectors)
    for parameter, value in (("temperature", 0.3), ("concentrated", 0.7), ("averaged", 0.9)):
        assert curve[parameter][value] == own


def test_shares_are_of_the_users_with_a_vector_and_follow_the_parameter(vectors: np.ndarray) -> None:
    curve = table(vectors)
    assert list(curve) == ["temperature", "concentrated", "averaged"]
    for grid in curve.values():
        assert list(grid) == sorted(grid) and len(grid) >= 10
        assert all(sum(shares.values()) == pytest.approx(1, abs=2e-6) for shares in grid.values())
    warm = list(curve["temperature"].values())
    assert warm[0]["concentrated"] > 0.9 and warm[-1]["averaged"] == 1
    single = [shares["concentrated"] for shares in curve["concentrated"].values()]
    assert single[0] > single[-1] == 0 and single == sorted(single, reverse=True)
    general = [shares["averaged"] for shares in curve["averaged"].values()]
    assert general[0] > general[-1] and general == sorted(general, reverse=True)


def test_no_user_with_a_vector_gives_no_curve() -> None:
    assert list(gate_curve(np.zeros((4, 3)), MEANS, OPTIONS)) == []


@pytest.mark.parametrize("experts", [1, 2, 3])
def test_ways_differ_in_the_rule_alone(vectors: np.ndarray, experts: int) -> None:
    found = ways(vectors, MEANS[:experts], OPTIONS)
    assert list(found) == ["gate", "averaged", "nearest", "mixed"]
    for weights in found.values():
        assert weights.shape == (len(vectors), experts + 1) and weights.dtype == np.float32
        assert weights[0].tolist() == [1] + [0] * experts  # nobody knows this user
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    length = np.linalg.norm(vectors[1:, :experts], axis=1, keepdims=True)
    cosines = vectors[1:, :experts] / length
    np.testing.assert_allclose(found["mixed"][1:, 1:], softmax(cosines / 0.3, axis=1), atol=1e-6)
    assert (found["nearest"][1:, 1:].argmax(1) == cosines.argmax(1)).all()
    assert set(np.unique(found["nearest"])) <= {0, 1} and (found["averaged"][:, 0] == 1).all()
    np.testing.assert_array_equal(found["gate"], gate(vectors, MEANS[:experts], 0.3, (0.5, 0.6), 0.9).weights)
