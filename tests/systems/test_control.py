"""The shuffled control: what protocols give away, and what a leak looks like."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from small_chain import Chain

from thinkrec.data.tables import Interactions
from thinkrec.metrics.running import MINUS_RUNNING_MEAN, running_mean
from thinkrec.protocols import Protocol
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.control import Control, cheap, cheap_controls, shuffled_control
from thinkrec.systems.floors import MinusRunningMean
from thinkrec.systems.project import Project

Score = Callable[[Candidates], np.ndarray]


class Made:
    """A system that scores by a function; it counts how often it is asked, and keeps the labels."""

    def __init__(self, by: Score, history_length: int | None = None) -> None:
        self.by, self.history_length, self.labels = by, history_length, []

    def prepare(self) -> None: ...

    def about_user(self, known: bool) -> str:
        return ""

    def seeds(self) -> dict:
        return {}

    def score(self, candidates: Candidates) -> np.ndarray:
        self.labels.append(candidates.data.label)
        return self.by(candidates).astype(np.float32)


def made(users: int = 300, rows: int = 18, seed: int = 0) -> Interactions:
    """Labels by chance; of each user the last half is test, some before it valid."""
    rng = np.random.default_rng(seed)
    position = np.tile(np.arange(rows), users)
    count = users * rows
    return Interactions(
        user_id=np.repeat(np.arange(1, users + 1), rows), item_id=rng.integers(1, 50, count),
        label=rng.integers(0, 2, count), timestamp=position, position=position,
        split=np.digitize(position, [rows // 3, rows // 2]).astype(np.int8),
        not_cold=np.ones(count, dtype=bool),
    )  # fmt: skip


def own_label(asked: Candidates) -> np.ndarray:
    return asked.data.label[asked.rows]


def last_label(asked: Candidates) -> np.ndarray:
    """Leaks a little: the label of the row before, whatever the protocol says."""
    return asked.data.label[asked.rows - 1] + 0.01 * asked.items


def own_share(asked: Candidates) -> np.ndarray:
    """The user's like share in test: a leak that no permutation within users moves."""
    data = asked.data
    test = data.split == 2
    likes = np.bincount(data.user_id[test], weights=data.label[test], minlength=data.users + 1)
    return likes[data.user_id[asked.rows]] + 0.01 * asked.items


def item(asked: Candidates) -> np.ndarray:
    return asked.items.astype(float)


@pytest.mark.parametrize("protocol", ["frozen", "train"])
def test_minus_the_running_mean_is_worth_nothing_but_under_rolling_histories(protocol: Protocol) -> None:
    data, system = made(), MinusRunningMean(0.5)
    rolling = shuffled_control(system, data, "rolling", 1)
    assert rolling.uauc is not None and rolling.interval is not None
    assert rolling.interval[0] > 0.6 and rolling.moved is None
    blind = shuffled_control(system, data, protocol, 1)
    assert blind.uauc == 0.5 and blind.moved == 0 and blind.interval == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(("leak", "some"), [(own_label, 1.0), (last_label, 0.8), (own_share, 0.9)])
def test_a_leaking_scorer_is_seen(leak: Score, some: float) -> None:
    """`own_share` has a UAUC of .5 with permuted labels: only its scores give it away."""
    data = made()
    found = shuffled_control(Made(leak), data, "frozen", 1)
    assert found.moved is not None and found.moved >= some * found.rows


def test_a_leaking_scorer_is_scored_again_on_each_draw() -> None:
    system = Made(own_label)
    assert shuffled_control(system, made(), "frozen", 1, 4).uauc == 1.0
    assert len(system.labels) == 3 + 4


def test_permutations_are_within_users_and_histories_hold_them() -> None:
    data, system = made(), Made(item)
    found = shuffled_control(system, data, "rolling", 5, 4)
    rest, user = data.split != 2, data.user_id
    assert len(system.labels) == 4
    for number, label in enumerate(system.labels):
        assert np.array_equal(label[rest], data.label[rest])
        assert np.array_equal(np.bincount(user, weights=label), np.bincount(user, weights=data.label))
        assert 0.3 < np.mean(label[~rest] != data.label[~rest]) < 0.6
        assert all(not np.array_equal(label, other) for other in system.labels[:number])
    mixed = np.bincount(user[~rest], weights=data.label[~rest])[1:]
    assert len(found.by_user) == int(((mixed > 0) & (mixed < 9)).sum())


def test_a_system_without_history_is_scored_once() -> None:
    system = Made(item, history_length=0)
    again = Made(item)
    data = made()
    found = [shuffled_control(each, data, "rolling", 3) for each in (system, again)]
    assert len(system.labels) == 1 and len(again.labels) == found[1].draws
    assert np.array_equal(found[0].by_user, found[1].by_user)


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    data = made()
    one, two, other = (shuffled_control(Made(item), data, "frozen", seed) for seed in (1, 1, 9))
    assert one.entry() == two.entry() != other.entry()


def test_frozen_intervals_hold_the_half() -> None:
    """95 of 100 intervals do so, 99.9 of 100 wide ones: 60 systems that know nothing."""
    inside, wide = 0, 0
    for seed in range(60):
        found = shuffled_control(Made(item), made(80, seed=seed), "frozen", seed)
        assert found.interval is not None and found.wide() is not None
        inside += found.interval[0] <= 0.5 <= found.interval[1]
        low, high = found.wide() or (1, 0)
        wide += low <= 0.5 <= high
    assert 50 <= inside < 60 and wide == 60


def test_few_users_have_no_interval() -> None:
    found = Control(np.array([0.25, 1.0]), 3, 9, 0, 1)
    assert found.uauc == 0.625 and found.interval is None and found.wide() is None
    none = Control(np.empty(0), 3, 9, 0, 1)
    assert none.entry() == {"draws": 3, "uauc": None, "uauc_low": None, "uauc_high": None}


def test_no_test_rows() -> None:
    data = made()
    keep = data.split != 2
    without = Interactions(*(getattr(data, name)[keep] for name in Interactions.__dataclass_fields__))
    for protocol in ("frozen", "rolling"):
        assert shuffled_control(Made(item), without, protocol, 1).uauc is None  # type: ignore[arg-type]


def test_the_cheap_systems(chain: Chain) -> None:
    names = cheap(["mf", "gbdt", "thinkrec", "random"], "rolling")
    assert names[-2:] == ["mf", "gbdt"] and MINUS_RUNNING_MEAN in names and names.count("random") == 1
    assert MINUS_RUNNING_MEAN not in cheap([], "frozen")
    project = Project(chain.layout, chain.params)
    found = cheap_controls(project, ["gsasrec_labels", "gbdt", "thinkrec"], ["frozen", "rolling"])
    for each in found.values():
        assert {"gsasrec_labels", "gbdt", "popularity"} < set(each) and "thinkrec" not in each
    assert found["frozen"]["user_mean"]["uauc"] == 0.5
    assert found["rolling"][MINUS_RUNNING_MEAN]["uauc_low"] > 0.6
    for name in ("gsasrec_labels", "gbdt"):  # they read labels, where there are some
        assert found["rolling"][name] != found["frozen"][name]


def test_the_floor_is_minus_the_running_mean_of_the_data_set(chain: Chain) -> None:
    project = Project(chain.layout, chain.params)
    data, rows = project.data, project.data.rows("test")
    for protocol in ("rolling", "frozen"):
        found = project.system(MINUS_RUNNING_MEAN).score(Candidates.of_rows(data, rows, protocol))  # type: ignore[arg-type]
        assert np.array_equal(found, -running_mean(data, rows, protocol).astype(np.float32))  # type: ignore[arg-type]
