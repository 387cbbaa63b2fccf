"""Stage summarize with the statistical extractor."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thinkrec.config.sections import Summarize
from thinkrec.errors import DataError, MissingInputError
from thinkrec.layout import Layout
from thinkrec.stages.summarize import summarize


def items(layout: Layout, **columns: list[object]) -> None:
    layout.data.mkdir(parents=True, exist_ok=True)
    count = len(columns["title"])
    ids = {"item_id": list(range(1, count + 1)), "raw_id": [str(k) for k in range(count)]}
    pq.write_table(pa.table({**ids, **columns}), layout.items)


def keywords(layout: Layout) -> list[list[str]]:
    return pq.read_table(layout.keywords)["keywords"].to_pylist()


@pytest.mark.parametrize(
    "genres", [[["Drama", "War"], None, []], ["Drama|War", None, ""], ["Drama, War", "", ""]]
)
def test_genres_in_every_shape_come_first(tmp_path: Path, genres: list[object]) -> None:
    layout = Layout("ml1m", tmp_path)
    items(layout, title=["Glory Days", "Glory", None], genres=genres)
    facts = summarize(layout, Summarize())
    assert keywords(layout) == [["drama", "war", "glory", "days"], ["glory"], []]
    assert facts == {
        "extractor": "tfidf", "items": 3, "without_keywords": 1, "distinct_keywords": 4,
        "mean_keywords": 1.667,
        "warnings": [
            "1 of 3 items have no keyword from tfidf: the language model reads the title alone there"
        ],
    }  # fmt: skip


def test_the_file_has_the_agreed_columns_and_a_second_run_is_the_same(tmp_path: Path) -> None:
    layout = Layout("demo", tmp_path)
    items(layout, title=["A", "B"], description=["stormy sea and ship", "stormy sea"])
    summarize(layout, Summarize(max_keywords=2))
    table = pq.read_table(layout.keywords)
    assert {field.name: str(field.type) for field in table.schema} == {
        "item_id": "int64", "keywords": "list<element: string>", "source": "string",
    }  # fmt: skip
    assert table["source"].to_pylist() == ["tfidf"] * 2
    assert keywords(layout) == [["sea", "stormy"]] * 2
    content = layout.keywords.read_bytes()
    summarize(layout, Summarize(max_keywords=2))
    assert layout.keywords.read_bytes() == content


def test_interactions_are_not_read(tmp_path: Path) -> None:
    layout = Layout("demo", tmp_path)
    items(layout, title=["Sea"])
    layout.interactions.write_bytes(b"no parquet")
    assert summarize(layout, Summarize())["items"] == 1


def test_before_prep_it_says_what_to_run(tmp_path: Path) -> None:
    layout = Layout("demo", tmp_path)
    with pytest.raises(MissingInputError) as error:
        summarize(layout, Summarize())
    assert str(error.value) == f"{layout.items} is not there yet: `thinkrec prep --dataset demo` makes it"


def test_no_item_at_all(tmp_path: Path) -> None:
    layout = Layout("demo", tmp_path)
    items(layout, title=[])
    with pytest.raises(DataError) as error:
        summarize(layout, Summarize())
    assert str(error.value) == f"{layout.items} holds no item: check the raw files, then run prep again"
