"""Items by the words of their titles."""

from __future__ import annotations

import numpy as np
import pytest

from thinkrec.errors import RequestError
from thinkrec.systems.ids import Ids
from thinkrec.systems.titles import Titles

NAMES = [
    "",
    "Alien (1979)",
    "Aliens (1986)",
    "Amélie (2001)",
    "The Alien",
    "Crash (1996)",
    "Crash (2004)",
    "M",
    "WALL·E",
]
KNOWN = np.array([0, 5, 9, 3, 20, 1, 2, 1, 1])


@pytest.fixture
def titles() -> Titles:
    return Titles(NAMES, KNOWN)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("alien", [2, 1, 4]),  # those that begin with it first, then by how well known they are
        ("the ALIEN", [4]),
        ("amelie", [3]),
        ("AMÉ", [3]),
        ("lien", []),  # no word begins like that
        ("crash 2004", [6]),
        ("(1996)", [5]),
        ("[.*", []),
        ("zzz", []),
    ],
)
def test_finds_by_beginnings_of_words(titles: Titles, query: str, found: list[int]) -> None:
    assert titles.find(query, 10) == found


def test_an_empty_query_finds_the_best_known(titles: Titles) -> None:
    assert titles.find("  ", 3) == [4, 2, 1]
    assert len(titles.find("x" * 1_000_000, 3)) == 0


def test_one_item_by_its_title(titles: Titles) -> None:
    assert [titles.number(name) for name in ("Alien (1979)", "alien", "AMELIE", "m", " the  alien ")] == [
        1,
        1,
        3,
        7,
        4,
    ]


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("crash", "2 items are called 'crash': 'Crash (1996)', 'Crash (2004)'; give an id"),
        ("Alein", "no item with the id or title 'Alein'; did you mean 'Alien (1979)'"),
        ("lien", "did you mean 'Alien (1979)', 'Aliens (1986)' or 'The Alien'?"),
        ("WALLY", "did you mean 'WALL·E'?"),
        ("qqqqqq", "no item with the id or title 'qqqqqq'"),
        ("", "no item with the id or title ''"),
    ],
)
def test_what_is_no_title_of_one_item(titles: Titles, title: str, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        titles.number(title)
    assert said in str(caught.value)


def test_only_brackets_at_the_end_may_be_left_out() -> None:
    titles = Titles(["", "Up (again) now (2009)", "Up (2010) (uncut)", "Down (2011)"], np.ones(4))
    assert titles.number("up (again) now") == 1
    assert titles.number("up") == titles.number("up (2010)") == 2
    with pytest.raises(RequestError, match="did you mean 'Down"):
        titles.number("down (20")


def test_near_ids_stand_beside_near_titles(titles: Titles) -> None:
    ids = Ids(["", "i0001", "M7", "alien-3", "i0004", "i0005", "i0006", "i0007", "i0008"], "item")
    for given, near in (
        ("I0001", "'i0001'"),
        ("m7", "'M7'"),
        ("lien", "'Alien (1979)', 'Aliens (1986)' or 'The Alien'"),
        ("wall-", "'WALL·E'"),
        ("Alien-", "'Alien (1979)', 'Aliens (1986)' or 'alien-3'"),
    ):
        with pytest.raises(RequestError) as caught:
            titles.number(given, ids)
        said = f"the data set has no item with the id or title {given!r}; did you mean {near}?"
        assert str(caught.value) == said


def test_a_thousand_titles_of_many_items_are_looked_up_in_a_moment() -> None:
    import time

    titles = Titles(
        ["", *(f"Title {number} (19{number % 90 + 10})" for number in range(50_000))], np.ones(50_001)
    )
    titles.number("title 7")
    start = time.perf_counter()
    assert [titles.number(f"title {number}") for number in range(1000)] == list(range(1, 1001))
    assert time.perf_counter() - start < 2  # seconds; one by one over all titles it takes minutes
