"""Each branch of the gate, and what borders on it."""

import numpy as np
import pytest

from thinkrec.errors import ModelError
from thinkrec.experts.gate import GateRows, Kind, gate

MEANS = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])


def run(users: list[list[float]], means: np.ndarray = MEANS, temperature: float = 0.1) -> GateRows:
    return gate(np.array(users, dtype=np.float32), means, temperature, (0.5, 0.6), 0.95)


def test_concentrated_gets_one_expert() -> None:
    rows = run([[0, 5, 0], [0, 0, 0.1]])
    assert rows.weights.tolist() == [[0, 0, 1, 0], [0, 0, 0, 1]]
    assert rows.weights.dtype == np.float32
    assert rows.kind.tolist() == [Kind.CONCENTRATED, Kind.CONCENTRATED]


def test_averaged_gets_the_global_adapter() -> None:
    rows = run([[1, 1, 1], [1, 1.01, 1], [-2, -2, -2]])
    assert rows.weights.tolist() == [[1, 0, 0, 0]] * 3
    assert rows.kind.tolist() == [Kind.AVERAGED] * 3


def test_mixed_gets_the_softmax_of_the_cosines() -> None:
    user = np.array([1.0, 1, 0.2])
    rows = run([user.tolist()])
    w = np.exp(user / np.linalg.norm(user) / 0.1)
    assert rows.weights[0].tolist() == pytest.approx([0, *(w / w.sum())], abs=1e-6)
    assert rows.kind.tolist() == [Kind.MIXED]


def test_unknown_user_gets_the_global_adapter() -> None:
    rows = run([[0, 0, 0], [1, 0, 0]])
    assert rows.weights.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert rows.kind.tolist() == [Kind.UNKNOWN, Kind.CONCENTRATED]


@pytest.mark.parametrize(("offset", "kind"), [(1e-4, Kind.CONCENTRATED), (-1e-4, Kind.MIXED)])
def test_threshold_of_concentration(offset: float, kind: Kind) -> None:
    """With two experts it is 0.5 + 0.6 / 2; the cosines are chosen to give just that weight."""
    gap = np.log((0.8 + offset) / (0.2 - offset))
    means = np.array([[1.0, 0], [0, 1]])
    # cos a - sin a = gap * temperature
    angle = np.arccos(gap * 0.1 / 2**0.5) - np.pi / 4
    rows = gate(np.array([[np.cos(angle), np.sin(angle)]]), means, 0.1, (0.5, 0.6), 0.95)
    assert rows.kind.tolist() == [kind]
    expected = [0, 1, 0] if kind == Kind.CONCENTRATED else [0, 0.8 + offset, 0.2 - offset]
    assert rows.weights[0].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("offset", "kind"), [(1e-3, Kind.MIXED), (-1e-3, Kind.AVERAGED)])
def test_threshold_of_entropy(offset: float, kind: Kind) -> None:
    user, means = np.array([[1.0, 0.95]]), np.eye(2)
    w = np.exp(user[0] / np.linalg.norm(user) / 0.1)
    w /= w.sum()
    share = float(-(w * np.log(w)).sum() / np.log(2))
    assert gate(user, means, 0.1, (0.5, 0.6), share + offset).kind.tolist() == [kind]


def test_equal_weights_are_averaged_even_when_all_entropy_is_asked() -> None:
    for experts in range(2, 12):
        rows = gate(np.ones((1, experts)), np.eye(experts), 0.1, (0.5, 0.6), 1.0)
        assert rows.kind.tolist() == [Kind.AVERAGED], experts


def test_only_directions_count() -> None:
    users = [[3.0, 1, 2], [1, 0.5, 0]]
    long = run((np.array(users) * 1e3).tolist(), MEANS * np.array([[1], [10], [1e-3]]))
    np.testing.assert_allclose(long.weights, run(users).weights, atol=1e-6)


def test_a_single_expert_serves_all_known_users() -> None:
    rows = gate(np.array([[1.0, 2], [0, 0], [-1, -2]]), np.array([[1.0, 2]]), 0.1, (0.5, 0.6), 0.95)
    assert rows.weights.tolist() == [[0, 1], [1, 0], [0, 1]]
    assert rows.kind.tolist() == [Kind.CONCENTRATED, Kind.UNKNOWN, Kind.CONCENTRATED]


def test_a_zero_mean_is_neither_like_nor_unlike() -> None:
    means = np.array([[1.0, 0], [0, 0]])
    rows = run([[1, 0], [-1, 0], [0, 1]], means)
    assert rows.weights.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert rows.kind.tolist() == [Kind.CONCENTRATED, Kind.CONCENTRATED, Kind.AVERAGED]
    all_zero = run([[1, 0]], np.zeros((2, 2)))
    assert all_zero.kind.tolist() == [Kind.AVERAGED]


def test_columns_that_no_mean_uses_are_left_out() -> None:
    """A vector's constant 1, or any length of it, does not blunt the cosines."""
    means = np.column_stack([MEANS, np.zeros(3)])
    users = [[0.01, 0.01, 0.002], [0, 0.01, 0]]
    expected = run(users)
    np.testing.assert_allclose(
        run([[*user, 1] for user in users], means).weights, expected.weights, atol=1e-6
    )
    assert expected.kind.tolist() == [Kind.MIXED, Kind.CONCENTRATED]


def test_small_temperature_does_not_overflow() -> None:
    assert run([[1, 0.9, 0]], temperature=1e-6).weights.tolist() == [[0, 1, 0, 0]]


def test_no_rows() -> None:
    rows = gate(np.zeros((0, 3)), MEANS, 0.1, (0.5, 0.6), 0.95)
    assert rows.weights.shape == (0, 4) and rows.kind.shape == (0,)


def test_weights_sum_to_one() -> None:
    users = np.random.default_rng(0).standard_normal((500, 3))
    rows = gate(users, MEANS, 0.5, (0.5, 0.6), 0.95)
    np.testing.assert_allclose(rows.weights.sum(1), 1, atol=1e-6)
    assert set(rows.kind) == {Kind.AVERAGED, Kind.CONCENTRATED, Kind.MIXED}
    assert ((rows.weights[:, 0] == 1) == (rows.kind == Kind.AVERAGED)).all()


@pytest.mark.parametrize("name", ["user vectors", "experts' means"])
def test_values_that_are_not_finite(name: str) -> None:
    users, means = np.ones((2, 3)), MEANS.copy()
    (users if name == "user vectors" else means)[1, 1] = np.nan
    with pytest.raises(ModelError) as caught:
        gate(users, means, 0.1, (0.5, 0.6), 0.95)
    assert str(caught.value) == (
        f"{name} hold values that are not finite: run `thinkrec cf` and `thinkrec cluster` again"
    )


def test_means_of_another_encoder_and_no_means() -> None:
    with pytest.raises(ModelError) as caught:
        gate(np.ones((2, 4)), MEANS, 0.1, (0.5, 0.6), 0.95)
    assert str(caught.value) == (
        "user vectors have 4 columns, experts' means 3: they are of different encoders; "
        "run `thinkrec cluster` again"
    )
    with pytest.raises(
        ModelError, match=r"^the gate has no expert to choose from: run `thinkrec cluster` again$"
    ):
        gate(np.ones((2, 3)), np.zeros((0, 3)), 0.1, (0.5, 0.6), 0.95)
