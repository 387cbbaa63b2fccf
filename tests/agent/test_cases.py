"""Cases: which items are drawn, which rows give none, and what is stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from agent_by_hand import Row, interactions

from thinkrec.agent.cases import Case, chosen_cases, draw_cases, last_likes, load_cases, save_cases
from thinkrec.agent.knowledge import load_graph
from thinkrec.data.moments import DAY
from thinkrec.data.tables import Interactions
from thinkrec.errors import DataError, ModelError

ITEMS = 50


@pytest.fixture(scope="module")
def many() -> Interactions:
    """40 users with 12 rows each, on days 0 to 99, over 45 of 50 items; train ends on day 40."""
    rng = np.random.default_rng(3)
    rows: list[Row] = [
        (user, int(rng.integers(1, 46)), int(rng.integers(2)), int(rng.integers(100)))
        for user in range(1, 41)
        for _ in range(12)
    ]
    return interactions(rows, 40, 70)


def drawn_of(data: Interactions, candidates: int, rows: np.ndarray | None = None) -> list[Case]:
    test = data.rows("test")
    return draw_cases(data, ITEMS, test if rows is None else rows, "test", candidates, 5).cases


@pytest.mark.parametrize("candidates", [2, 4, 10])
def test_drawn_items_were_met_before_by_others_and_never_by_the_user(
    many: Interactions, candidates: int
) -> None:
    cases = drawn_of(many, candidates)
    assert len(cases) > 100
    for case in cases:
        assert len(set(case.items)) == candidates
        assert case.items[case.target] == many.item_id[case.row]
        assert (case.user, case.moment) == (many.user_id[case.row], many.timestamp[case.row])
        met = set(many.item_id[many.user_id == case.user])
        before = set(many.item_id[many.timestamp < case.moment])
        assert set(case.items) <= before
        assert set(case.items) & met == {case.items[case.target]}
    assert {case.target for case in cases} == set(range(candidates))


def test_a_case_can_be_ranked_when_the_users_split_begins(many: Interactions) -> None:
    cases = drawn_of(many, 10)
    later = 0
    for case in cases:
        frozen = case.under("frozen", many)
        begins = many.timestamp[(many.user_id == case.user) & (many.split == 2)].min()
        assert (frozen.moment, case.under("rolling", many).moment) == (begins, case.moment)
        assert set(case.items) <= set(many.item_id[many.timestamp < begins])
        later += frozen.moment < case.moment
    assert later > 20


def test_a_rows_candidates_depend_on_no_other_row(many: Interactions) -> None:
    every = {case.row: (case.items, case.target) for case in drawn_of(many, 10)}
    some = drawn_of(many, 10, np.array(sorted(every))[::7])
    assert [case.number for case in some] == list(range(len(some)))
    assert {case.row: (case.items, case.target) for case in some} == dict(list(every.items())[::7])
    assert draw_cases(many, ITEMS, many.rows("test"), "test", 10, 6).cases != drawn_of(many, 10)


def test_all_items_that_may_be_drawn_are_drawn_alike() -> None:
    """4 free items, one of them drawn: each for about a quarter of 400 users."""
    rows: list[Row] = [(1, item, 1, item) for item in range(1, 6)]
    rows += [(user, 5, 1, 50) for user in range(2, 402)]
    cases = draw_cases(interactions(rows, 40), 5, np.arange(5, 405), "valid", 2, 0).cases
    drawn = np.bincount([case.items[1 - case.target] for case in cases], minlength=6)
    assert drawn.tolist()[0] == drawn.tolist()[5] == 0
    assert drawn.sum() == 400
    assert drawn[1:5].min() > 70


LEFT_OUT: list[Row] = [
    (1, 1, 1, 10), (1, 2, 1, 60), (1, 3, 1, 61),
    (2, 3, 1, 60), (2, 4, 1, 62), (2, 5, 1, 62),
    (3, 1, 1, 70), (3, 5, 1, 71), (3, 2, 1, 71), (3, 3, 1, 71), (3, 4, 1, 72),
]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        (1, (0, 1, 0, 0)),  # on the last day of train
        (2, (1, 0, 0, 0)),  # user 1 meets item 3, met once before
        (4, (0, 0, 1, 0)),  # nobody met item 4 before
        (5, (0, 0, 1, 0)),
        (10, (0, 0, 0, 1)),  # user 3 meets all items
    ],
)
def test_rows_that_give_no_case(row: int, counts: tuple[int, int, int, int]) -> None:
    data = interactions([*LEFT_OUT, (4, 6, 1, 5)] if row == 2 else LEFT_OUT, 60)
    found = draw_cases(data, 6, np.array([row]), "valid", 2, 0)
    assert (len(found.cases), found.early, found.unknown, found.few) == counts


def test_few_items_are_counted_before_the_moment() -> None:
    """On day 70 two items are free for user 2: three candidates are the most."""
    rows: list[Row] = [(1, 1, 1, 1), (1, 2, 1, 2), (1, 3, 1, 3), (1, 4, 1, 70), (2, 3, 1, 70)]
    for candidates, few in ((2, 0), (3, 0), (4, 1)):
        found = draw_cases(interactions(rows), 4, np.array([4]), "valid", candidates, 0)
        assert (len(found.cases), found.few) == (1 - few, few)


def test_no_rows_give_no_cases(many: Interactions) -> None:
    assert drawn_of(many, 10, np.array([], dtype=np.int64)) == []


def test_last_likes() -> None:
    rows: list[Row] = [
        (1, 1, 1, 1), (1, 2, 1, 96), (1, 3, 1, 97), (1, 4, 0, 98),
        (2, 1, 1, 96), (3, 1, 0, 96), (4, 1, 1, 90),
    ]  # fmt: skip
    assert last_likes(interactions(rows)).tolist() == [2, 4]
    assert last_likes(interactions(rows[-2:])).tolist() == []


def case(number: int, row: int, user: int) -> Case:
    return Case(number, "test", row, user, 7 * DAY, (1, 2), 0)


@pytest.mark.parametrize(
    ("users", "dense", "sparse"),
    [
        (0, [], []),
        (1, [3], [5]),
        (2, [3, 9], [5, 11]),
        (3, [3, 5, 9], [3, 5, 11]),
        (9, [3, 5, 9, 11], [3, 5, 9, 11]),
    ],
)
def test_subsets(users: int, dense: list[int], sparse: list[int]) -> None:
    """Positions 3, 1, 3 and 1: equal ones by the lower user."""
    data = interactions([(u, 1, 1, d) for u, n in ((1, 4), (2, 2), (3, 4), (4, 2)) for d in range(n)])
    assert data.position[[3, 5, 9, 11]].tolist() == [3, 1, 3, 1]
    cases = [case(k + 7, row, k + 1) for k, row in enumerate((3, 5, 9, 11))]
    found = chosen_cases(cases, data, 1, users, 0)
    rows = {name: [e.row for e in found if name in e.subsets] for name in ("all", "dense", "sparse")}
    assert len(rows["all"]) == 1
    assert (rows["dense"], rows["sparse"]) == (dense, sparse)
    assert [each.row for each in found] == sorted({*rows["all"], *dense, *sparse})
    assert [each.number for each in found] == list(range(len(found)))
    turned = chosen_cases(cases[::-1], data, 9, users, 0)
    assert [each.row for each in turned if "dense" in each.subsets] == dense
    assert all("all" in each.subsets for each in turned)


def test_stored_and_read(many: Interactions, tmp_path: Path) -> None:
    test = drawn_of(many, 4)
    valid = draw_cases(many, ITEMS, many.rows("valid"), "valid", 4, 5).cases
    save_cases(tmp_path / "cases.parquet", [*valid, *test], many)
    assert load_cases(tmp_path / "cases.parquet", many, "test") == test
    assert load_cases(tmp_path / "cases.parquet", many, "valid") == valid
    with pytest.raises(DataError) as caught:
        load_cases(tmp_path / "cases.parquet", many, "train")
    assert str(caught.value) == (
        f"{tmp_path / 'cases.parquet'} has no case of train: this data set has too few likes after the end "
        "of train"
    )


@pytest.mark.parametrize("change", ["item", "time", "fewer users", "fewer rows"])
def test_cases_of_other_interactions_are_refused(many: Interactions, tmp_path: Path, change: str) -> None:
    cases = drawn_of(many, 4)
    save_cases(path := tmp_path / "cases.parquet", cases, many)
    keep = many.user_id <= 39 if change == "fewer users" else np.arange(len(many)) > 0
    if change in ("item", "time"):
        name = "item_id" if change == "item" else "timestamp"
        column = getattr(many, name).copy()
        column[cases[-1].row] += 1
        other = replace(many, **{name: column})
    else:
        other = Interactions(*(getattr(many, name)[keep] for name in many.__dataclass_fields__))
    with pytest.raises(ModelError) as caught:
        load_cases(path, other, "test")
    assert str(caught.value) == f"{path} was made from other interactions: run `thinkrec trajectories` again"


@pytest.mark.parametrize("damage", ["empty", "no parquet", "cut", "other columns"])
def test_a_damaged_file_says_what_to_do(many: Interactions, tmp_path: Path, damage: str) -> None:
    save_cases(path := tmp_path / "cases.parquet", drawn_of(many, 4), many)
    if damage == "other columns":
        pq.write_table(pq.read_table(path).drop_columns("target"), path)
    else:
        path.write_bytes({"empty": b"", "no parquet": b"x" * 99, "cut": path.read_bytes()[:-50]}[damage])
    with pytest.raises(DataError) as caught:
        load_cases(path, many, "test")
    assert str(caught.value).startswith(f"{path} is damaged (")
    assert str(caught.value).endswith("): run `thinkrec trajectories` again")


@pytest.mark.parametrize("damage", [b"", b"x" * 99, None], ids=["empty", "no parquet", "other columns"])
def test_a_damaged_graph_says_what_to_do(tmp_path: Path, damage: bytes | None) -> None:
    graph, keywords = tmp_path / "graph.parquet", tmp_path / "keywords.parquet"
    pq.write_table(table := pa.table({"item_id": [1], "keywords": [["snow"]]}), keywords)
    pq.write_table(table, graph)
    if damage is not None:
        graph.write_bytes(damage)
    with pytest.raises(DataError) as caught:
        load_graph(graph, keywords, 1)
    assert str(caught.value).startswith(f"{graph} or {keywords} is damaged (")
    assert str(caught.value).endswith("): run `thinkrec prep` and `thinkrec summarize` again")


def test_shuffled_keeps_items_and_target(many: Interactions) -> None:
    cases = drawn_of(many, 10)
    for each in cases:
        other = each.shuffled(1)
        assert sorted(other.items) == sorted(each.items)
        assert other.items[other.target] == each.items[each.target]
        assert replace(other, items=each.items, target=each.target) == each
        assert other == each.shuffled(1)
    assert sum(each.shuffled(1).items != each.shuffled(2).items for each in cases) > 0.9 * len(cases)
    assert cases[0].letters == "ABCDEFGHIJ"


def test_a_held_out_item_that_the_user_met_before_gives_no_case() -> None:
    rows: list[Row] = [(1, item, 1, item) for item in range(1, 5)]
    rows += [(2, 1, 1, 50), (2, 2, 1, 51), (2, 1, 1, 52)]
    found = draw_cases(interactions(rows, 40), 4, np.array([4, 5, 6]), "valid", 2, 0)
    assert [case.row for case in found.cases] == [4, 5]
    assert found.again == 1
