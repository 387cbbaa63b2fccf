"""Raw ids, and which names are near a wrong one."""

from __future__ import annotations

import pytest

from thinkrec.errors import RequestError
from thinkrec.systems.ids import Ids

NAMES = ["", "Alien", "Aliens", "Matrix, The", "Amélie", "u0001", "u0002", "In the Heat of the Night", " x "]


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("alien", "'Alien', 'Aliens'"),
        ("matrix", "'Matrix, The'"),
        ("AMELIE", "'Amélie'"),
        ("the night", "'In the Heat of the Night'"),
        ("u", "'u0001', 'u0002'"),
        ("u0003", "'u0002', 'u0001'"),
        ("0001", "'u0001'"),
        ("Alein", "'Alien', 'Aliens'"),
        ("x", "' x '"),
    ],
)
def test_near_names_are_given_whatever_their_case_and_accents(given: str, near: str) -> None:
    with pytest.raises(RequestError) as caught:
        Ids(NAMES, "item").number(given)
    assert str(caught.value) == f"the data set has no item {given!r}; near ones are {near}"


@pytest.mark.parametrize("given", ["", "qqq", "\N{COMBINING ACUTE ACCENT}", "x" * 10_000])
def test_nothing_is_near(given: str) -> None:
    with pytest.raises(RequestError) as caught:
        Ids(NAMES, "item").number(given)
    assert "near" not in str(caught.value) and len(str(caught.value)) < 200


def test_numbers_are_ids_and_other_values_are_refused() -> None:
    ids = Ids(["", "7", "True"], "user")
    assert ids.number(7) == 1  # type: ignore[arg-type]
    for given in (True, None, ["7"], {"id": 7}, b"7"):
        with pytest.raises(RequestError, match="user: give an id, as text or a number, not "):
            ids.number(given)  # type: ignore[arg-type]
