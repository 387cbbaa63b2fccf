"""Raw ids, and which names are near a wrong one."""

from __future__ import annotations

import time

import numpy as np
import pytest

from thinkrec.errors import RequestError
from thinkrec.systems.ids import Ids

NAMES = ["", "Alien", "Aliens", "Matrix, The", "Amélie", "u0001", "u0002", "In the Heat of the Night", " x "]


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("alien", "'Alien' or 'Aliens'"),
        ("matrix", "'Matrix, The'"),
        ("AMELIE", "'Amélie'"),
        ("the night", "'In the Heat of the Night'"),
        ("u", "'u0001' or 'u0002'"),
        ("u0003", "'u0002' or 'u0001'"),
        ("U0001", "'u0001'"),
        ("0001", "'u0001'"),
        ("Alein", "'Alien' or 'Aliens'"),
        ("x", "' x '"),
    ],
)
def test_near_names_are_given_whatever_their_case_and_accents(given: str, near: str) -> None:
    with pytest.raises(RequestError) as caught:
        Ids(NAMES, "item").number(given)
    assert str(caught.value) == f"the data set has no item {given!r}; did you mean {near}?"


@pytest.mark.parametrize("given", ["", "qqq", "\N{COMBINING ACUTE ACCENT}", "x" * 10_000])
def test_nothing_is_near(given: str) -> None:
    with pytest.raises(RequestError) as caught:
        Ids(NAMES, "item").number(given)
    assert "did you mean" not in str(caught.value) and len(str(caught.value)) < 200


def test_numbers_are_ids_and_other_values_are_refused() -> None:
    ids = Ids(["", "7", "True"], "user")
    assert ids.number(7) == 1  # type: ignore[arg-type]
    for given in (True, None, ["7"], {"id": 7}, b"7", float("nan"), float("inf"), np.float32("-inf")):
        with pytest.raises(RequestError, match="user: give an id, as text or a finite number, not "):
            ids.number(given)  # type: ignore[arg-type]


def test_an_id_is_found_exactly_then_without_outer_spaces_then_as_a_whole_number() -> None:
    ids = Ids(["", "u1", "u1 ", " 7", "7", "8.0", "8", "9"], "user")
    given = ["u1", "u1 ", " u1", " 7", "7 ", "8.0", "8", 8.0, 9.0, np.float32(9), "9.0 "]
    assert [ids.find(name) for name in given] == [1, 2, 1, 3, 4, 5, 6, 5, 7, 7, 7]  # type: ignore[arg-type]
    assert [ids.name(name) for name in (" u1\r", "9.0")] == ["u1", "9"]
    assert ids.find("9.5") is None and ids.find("") is None and "u1\t" not in ids


def test_all_ids_that_are_alike_but_for_case_are_offered() -> None:
    ids = Ids(["", "Ab", "x", "aB", "\N{LATIN SMALL LETTER A WITH ACUTE}b", "AB", "abc"], "item")
    assert ids.near("ab") == ids.same(" ab ") == ["Ab", "aB", "\N{LATIN SMALL LETTER A WITH ACUTE}b"]
    assert ids.same("abcd") == [] and ids.near("abcd") == ["abc", "Ab"]


def test_wrong_ids_cost_little_however_many_there_are() -> None:
    ids = Ids(["", *(f"u{number:07d}" for number in range(200_000))], "user")
    assert ids.near("U0000007") == ["u0000007"]
    start = time.process_time()
    for number in range(200):
        with pytest.raises(RequestError):
            ids.number(f"nobody{number}")
    assert time.process_time() - start < 4  # seconds; with a look at each id it takes 6
