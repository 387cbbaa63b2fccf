"""Groups whose right answer is known."""

import numpy as np
import pytest

from thinkrec.errors import ConfigError, ModelError
from thinkrec.experts import groups as groups_module
from thinkrec.experts.groups import Method, cohens_d, group_means, group_users


def clouds(sizes: list[int], distance: float = 20.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clouds of deviation 1 at corners far apart, shuffled, and the cloud of each point."""
    rng = np.random.default_rng(seed)
    cloud = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    points = rng.standard_normal((len(cloud), 3)) + distance * np.eye(3)[cloud]
    return points.astype(np.float32), cloud


@pytest.mark.parametrize("method", ["ward", "kmeans"])
def test_finds_the_clouds_and_numbers_them_by_size(method: Method) -> None:
    points, cloud = clouds([20, 50, 30])
    group = group_users(points, method, 3, seed=1)
    assert group.dtype == np.int64
    assert group.tolist() == np.array([3, 1, 2])[cloud].tolist()
    assert group.tolist() == group_users(points, method, 3, seed=1).tolist()


def test_equal_sizes_are_numbered_by_the_first_user() -> None:
    points, cloud = clouds([10, 10])
    assert group_users(points, "ward", 2, seed=0).tolist() == (1 + (cloud != cloud[0])).tolist()


@pytest.mark.parametrize("method", ["ward", "kmeans"])
def test_columns_count_alike_whatever_their_scale(method: Method) -> None:
    """Raw, the wide noise column would decide."""
    points, cloud = clouds([30, 20])
    noise = np.random.default_rng(1).uniform(-1e4, 1e4, len(points))
    group = group_users(np.column_stack([points, noise]), method, 2, seed=0)
    assert (group == 1 + cloud).mean() == 1


@pytest.mark.parametrize("method", ["ward", "kmeans"])
def test_one_group_holds_all_and_every_user_may_be_one(method: Method) -> None:
    points, _ = clouds([4, 3])
    assert group_users(points, method, 1, seed=0).tolist() == [1] * 7
    assert sorted(group_users(points, method, 7, seed=0)) == list(range(1, 8))
    assert group_users(points[:1], method, 1, seed=0).tolist() == [1]


@pytest.mark.parametrize("method", ["ward", "kmeans"])
def test_more_groups_than_users_or_than_points(method: Method) -> None:
    points, _ = clouds([3])
    with pytest.raises(ConfigError) as caught:
        group_users(points, method, 4, seed=0)
    assert str(caught.value) == "cluster.groups is 4, but 3 users have a vector: lower it"
    with pytest.raises(ConfigError) as caught:
        group_users(np.repeat(points[:2], 5, axis=0), method, 3, seed=0)
    assert str(caught.value) == "cluster.groups is 3, but users have 2 different vectors: lower it"
    with pytest.raises(ConfigError, match=r"^cluster\.groups is 1, but 0 users have a vector"):
        group_users(points[:0], method, 1, seed=0)


def test_values_that_are_not_finite() -> None:
    points, _ = clouds([3])
    points[1, 1] = np.nan
    with pytest.raises(ModelError, match=r"^user vectors hold values that are not finite: run `thinkrec cf`"):
        group_users(points, "ward", 1, seed=0)


def test_ward_of_many_users_groups_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups_module, "WARD_USERS", 40)
    points, cloud = clouds([200, 100, 50])
    assert group_users(points, "ward", 3, seed=3).tolist() == (1 + cloud).tolist()


def test_means_are_of_raw_vectors() -> None:
    vectors = np.array([[1, 0], [3, 2], [10, 10]], dtype=np.float32)
    assert group_means(vectors, np.array([1, 1, 2])).tolist() == [[2, 1], [10, 10]]


class TestCohensD:
    def test_of_two_normal_groups_is_their_distance_in_deviations(self) -> None:
        rng = np.random.default_rng(0)
        group = np.repeat([1, 2], 20_000)
        vectors = np.column_stack([rng.standard_normal(40_000) + 3 * (group == 2), np.ones(40_000)])
        assert cohens_d(vectors, group) == pytest.approx(3, abs=0.05)

    def test_by_hand(self) -> None:
        """Means 1 and 5, variances 2 with one degree of freedom each: d = 4 / sqrt(2)."""
        assert cohens_d(np.array([[0.0], [2], [4], [6]]), np.array([1, 1, 2, 2])) == pytest.approx(4 / 2**0.5)

    def test_is_the_mean_over_pairs(self) -> None:
        values = np.array([[0.0], [2], [4], [6], [8], [10]])
        found = cohens_d(values, np.array([1, 1, 2, 2, 3, 3]))
        assert found == pytest.approx((4 + 4 + 8) / 3 / 2**0.5)

    def test_does_not_change_with_scale(self) -> None:
        points, cloud = clouds([30, 20])
        assert cohens_d(points * [1, 10, 100], cloud + 1) == pytest.approx(cohens_d(points, cloud + 1))

    def test_degenerate_groups(self) -> None:
        assert cohens_d(np.array([[0.0], [1]]), np.array([1, 1])) is None
        assert cohens_d(np.array([[0.0], [1]]), np.array([1, 2])) is None
        assert cohens_d(np.array([[0.0], [0], [1], [1]]), np.array([1, 1, 2, 2])) is None
        assert cohens_d(np.array([[0.0], [1], [0], [1]]), np.array([1, 1, 2, 2])) == 0
