"""How users received an item, as a keyword: from training rows alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_chain import Chain

from thinkrec.audit.keywords import check_keywords
from thinkrec.config.sections import Summarize
from thinkrec.data.tables import SPLITS, Interactions
from thinkrec.errors import MissingInputError
from thinkrec.layout import Layout
from thinkrec.stages.summarize import summarize
from thinkrec.teachers import reception
from thinkrec.teachers.reception import LEVELS, MIN_ROWS, receptions


def interactions(likes: dict[int, tuple[int, int]], split: str = "train") -> Interactions:
    """Of each item the given numbers of likes and dislikes."""
    pairs = [(item, k < liked) for item, (liked, not_) in likes.items() for k in range(liked + not_)]
    items, labels = (np.array(each, dtype=np.int64) for each in zip(*pairs, strict=True))
    rows = np.arange(len(items), dtype=np.int64)
    splits = np.full(len(items), SPLITS.index(split), dtype=np.int8)  # type: ignore[arg-type]
    return Interactions(rows + 1, items, labels, rows, rows * 0, splits, rows == rows)


def test_items_are_named_by_their_share_of_likes() -> None:
    found = receptions(interactions({1: (190, 10), 2: (100, 100), 3: (10, 190), 4: (19, 0)}), [4, 1, 3, 2, 9])
    assert found == [None, "wide acclaim", "poor reception", "mixed reception", None]


def test_levels_fall_and_cover_all_shares() -> None:
    shares = [least for least, _ in LEVELS]
    assert shares == sorted(shares, reverse=True) and shares[-1] == 0
    assert len({name for _, name in LEVELS}) == len(LEVELS)


def test_a_row_of_its_own_moves_an_item_by_less_than_a_level() -> None:
    """At the fewest rows; the other item sets the mean."""
    names = [name for _, name in LEVELS]
    for likes in range(MIN_ROWS):
        counts = [(likes + more, MIN_ROWS - likes) for more in (0, 1)]
        found = [receptions(interactions({1: each, 2: (500, 500)}), [1])[0] for each in counts]
        worse, better = (names.index(str(name)) for name in found)
        assert 0 <= worse - better <= 1


def test_rows_of_valid_and_test_do_not_count() -> None:
    for split in ("valid", "test"):
        assert receptions(interactions({1: (90, 0)}, split), [1]) == [None]


def test_the_stage_puts_it_first_and_the_audit_finds_it_again(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception, "MIN_ROWS", 4)
    layout = chain.copy(tmp_path)
    plain = pq.read_table(layout.keywords)["keywords"].to_pylist()
    params = chain.params.summarize.model_copy(update={"reception": True})
    summarize(layout, params)
    table = pq.read_table(layout.keywords)
    names = receptions(Interactions.load(layout.interactions), table["item_id"].to_pylist())
    assert any(names) and None in names
    expected = [words if name is None else [name, *words] for name, words in zip(names, plain, strict=True)]
    assert table["keywords"].to_pylist() == expected
    (check,) = check_keywords(layout, params)
    assert check.verdict == "passed"
    (check,) = check_keywords(layout, chain.params.summarize)
    assert check.verdict == "FAILED"


def test_without_interactions_it_says_what_makes_them(chain: Chain, tmp_path: Path) -> None:
    layout = Layout("demo", tmp_path)
    layout.items.parent.mkdir(parents=True)
    layout.items.write_bytes(chain.layout.items.read_bytes())
    with pytest.raises(MissingInputError, match="thinkrec prep --dataset demo"):
        summarize(layout, Summarize(reception=True))
