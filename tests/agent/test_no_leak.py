"""A planted future: whatever happens at or after a case's moment, no tool's answer changes by a letter."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from agent_by_hand import Row, edges, entered, interactions

from thinkrec.agent.cases import Case, draw_cases
from thinkrec.agent.dialogue import first_message
from thinkrec.agent.environment import TOOLS, Environment
from thinkrec.agent.knowledge import Graph, Knowledge
from thinkrec.agent.ranking import counting_scores
from thinkrec.data.moments import DAY
from thinkrec.data.tables import Interactions, Items
from thinkrec.protocols import Protocol

USERS, ITEMS, DAYS, CASES, CALLS = 60, 80, 60, 100, 100
PLANTED = range(ITEMS + 1, ITEMS + 6)
NAMES = [f"kind: k{number}" for number in range(12)] + ["kind: planted"]


def _rows() -> list[Row]:
    rng = np.random.default_rng(11)
    return [
        (user, int(rng.integers(1, ITEMS + 1)), int(rng.integers(2)), int(rng.integers(DAYS)))
        for user in range(1, USERS + 1)
        for _ in range(int(rng.integers(5, 60)))
    ]


def _knowing(data: Interactions) -> Knowledge:
    rng = np.random.default_rng(12)
    titles = ["", *(f"item {number}" for number in range(1, ITEMS + 1)), *("PLANTED" for _ in PLANTED)]
    kinds = [[], *(sorted(rng.choice(12, 3, replace=False)) for _ in range(ITEMS)), *([12] for _ in PLANTED)]
    related = [[], *(rng.integers(1, ITEMS + 6, 8).tolist() for _ in range(ITEMS)), *([] for _ in PLANTED)]
    vectors = rng.standard_normal((USERS + 10, 4))
    items = Items(titles, [[] for _ in titles])
    return Knowledge(data, items, [""] * len(titles), Graph(NAMES, edges(kinds), edges(related)), vectors)


def with_another_future(rows: list[Row], case: Case, chance: random.Random) -> list[Row]:
    """Everything from the moment on turned round, and planted rows of candidates and unseen items added."""
    day = case.moment // DAY
    changed = [row for row in rows if row[3] < day]
    changed += [
        (user, chance.choice([*PLANTED, *case.items]), 1 - label, when)
        for user, _, label, when in rows
        if when >= day
    ]
    for user in [case.user] * 6 + [chance.randint(1, USERS + 8) for _ in range(60)]:
        item = chance.choice([*PLANTED, *case.items, case.items[case.target]])
        changed.append((user, item, chance.randint(0, 1), day + chance.choice([0, 0, 1, 5])))
    return changed


def any_call(case: Case, chance: random.Random) -> tuple[str, dict[str, object]]:
    """A tool and arguments."""
    name = chance.choice(TOOLS)
    if name == "search_profile":
        return name, {}
    if name == "search_history":
        words = ["", "planted", "item", f"item {chance.randint(1, ITEMS)}", f"k{chance.randint(0, 11)}"]
        return name, {"query": chance.choice(words)}
    letters = chance.sample(case.letters, chance.randint(0, len(case.letters)))
    return name, {"items": chance.choice([None, letters])}


def said(environment: Environment, case: Case, name: str, arguments: dict[str, object]) -> str:
    """The answer to a call that is an episode's first."""
    environment.reset(case=case)
    answer: str = getattr(environment, name)(**arguments)
    return answer


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Cases of the last third, on days with further rows of their own users and of others."""
    data = interactions(_rows(), DAYS * 2 // 3, DAYS - 1)
    valid = data.rows("valid")
    drawn = draw_cases(data, ITEMS, np.random.default_rng(13).permutation(valid), "valid", 10, 0).cases
    chosen = [case for case in drawn if (data.timestamp == case.moment).sum() > 3]
    return sorted(chosen[:CASES], key=lambda case: case.row)


Pairs = Callable[[int], Iterator[tuple[Case, Knowledge, Knowledge, random.Random]]]


@pytest.fixture(scope="module")
def pairs(cases: list[Case]) -> Pairs:
    """A function: each case, so many days later, beside what is known in truth and with another future."""

    def make(days: int) -> Iterator[tuple[Case, Knowledge, Knowledge, random.Random]]:
        rows, chance = _rows(), random.Random(14)
        true = _knowing(interactions(rows))
        for case in cases:
            other = _knowing(interactions(with_another_future(rows, case, chance)))
            late = Case(case.number, case.split, case.row, case.user, case.moment + days * DAY,
                        case.items, case.target)  # fmt: skip
            yield late, true, other, chance

    return make


def test_ten_thousand_calls_show_nothing_of_it(cases: list[Case], pairs: Pairs) -> None:
    assert len(cases) == CASES
    calls = 0
    for case, true, other, chance in pairs(0):
        one, two = entered(true, case), entered(other, case)
        for _ in range(CALLS):
            name, arguments = any_call(case, chance)
            answer = said(two, case, name, arguments)
            assert answer == said(one, case, name, arguments), (name, arguments, case)
            assert "PLANTED" not in answer
            calls += 1
        assert first_message(other, case, 9, 3) == first_message(true, case, 9, 3)
    assert calls == 10_000


def test_counting_systems_see_nothing_of_it(pairs: Pairs) -> None:
    for case, true, other, _ in pairs(0):
        seen, changed = counting_scores(true, [case], 30), counting_scores(other, [case], 30)
        assert all(np.array_equal(seen[name], changed[name]) for name in ("popularity", "recent_popularity"))


def test_a_day_later_every_tool_shows_it(pairs: Pairs) -> None:
    """What the test above rests on: the planted rows would change each tool's answer."""
    differ = dict.fromkeys(TOOLS, 0)
    for case, true, other, _ in pairs(1):
        for name in TOOLS:
            one, two = said(entered(true, case), case, name, {}), said(entered(other, case), case, name, {})
            differ[name] += one != two
    assert min(differ.values()) > 0.5 * CASES, differ


@pytest.mark.parametrize(("protocol", "reads"), [("frozen", False), ("train", False), ("rolling", True)])
def test_no_label_of_the_ranked_split_is_known(protocol: Protocol, reads: bool) -> None:
    """Of no user: another user's test rows may lie before a user's split begins."""
    true = interactions(_rows(), 20, 35)
    turned = replace(true, label=np.where(true.split == 2, 1 - true.label, true.label))
    cases = [
        case.under(protocol, true)
        for case in draw_cases(true, ITEMS, true.rows("test"), "test", 5, 3).cases[:80]
    ]
    early = sum(
        bool(((true.timestamp < case.moment) & (true.split == 2) & (true.user_id != case.user)).any())
        for case in cases
    )
    assert early > 20
    ours, theirs = (_knowing(data).under(protocol, "test") for data in (true, turned))
    one, other = (counting_scores(known, cases, 30) for known in (ours, theirs))
    assert any(not np.array_equal(one[name], other[name]) for name in one) == reads
    rows = np.concatenate([ours.interactions_with(item, cases[0].moment) for item in range(1, ITEMS)])
    last = {"train": 1, "frozen": 2, "rolling": 3}[protocol]
    assert (ours.data.split[rows] < last).all()
    for case in cases[:20]:
        past = ours.past(case.user, case.moment)
        assert (ours.data.user_id[past] == case.user).all()
        before = (true.user_id == case.user) & (true.timestamp < case.moment)
        assert len(past) == (before & (true.split < last)).sum()
