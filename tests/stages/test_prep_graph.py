"""`prep`'s graph: what items are, and which ones the same users liked, in train alone."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from generated import Shape, write_amazon
from prep_raw import START, ml1m, write_csv, write_ml1m
from pydantic import TypeAdapter

from thinkrec.config.sections import Prep
from thinkrec.config.sources import DemoSource, Source
from thinkrec.data import graph
from thinkrec.data.database import connect, run_sql
from thinkrec.data.graph import make_graph
from thinkrec.data.prepare import prepare
from thinkrec.layout import Layout

LATER = START + 2 * 86_400
ALL: dict[str, Any] = {"first_day": None, "last_day": None, "min_interactions": 1, "split": {"rule": "share"}}
Edge = tuple[int, int, int]


def rows(layout: Layout) -> list[dict[str, Any]]:
    return pq.read_table(layout.graph).to_pylist()


def edges(root: Path, likes: list[tuple[str, int]], later: list[tuple[str, int]] | None = None) -> list[Edge]:
    """Links of items 1, 2, ... liked by users in train, in that order; `later`: likes in valid, then test.

    Before and between them are dislikes of a last item, so that every split has both classes.
    """
    count = 1 + max(item for _, item in likes)
    one, two = later or [("late", count), ("late", count)]
    held = [(*one, 5), ("late", count, 1), (*two, 5), ("late", count, 1)]
    train = [("other", count, 1)]
    for user, item in likes:
        train += [(user, item, 5), (user, count, 1)]
    raw = root / "data" / "raw" / "demo"
    write_csv(
        raw / "items.csv", "item,title,description", [(f"i{n:02}", "", "") for n in range(1, count + 1)]
    )
    moments = [START + n for n in range(len(train))] + [LATER + n for n in range(len(held))]
    ratings = [
        (user, f"i{item:02}", stars, moment)
        for (user, item, stars), moment in zip(train + held, moments, strict=True)
    ]
    write_csv(raw / "ratings.csv", "user,item,rating,timestamp", ratings)
    layout, split = Layout("demo", root), {"rule": "date", "train_until": "2020-09-13"}
    facts = prepare(layout, DemoSource.model_validate({"reader": "demo", "split": split}), Prep())
    assert [facts["splits"][name]["rows"] for name in ("train", "valid", "test")] == [len(train), 2, 2]
    found = rows(layout)
    assert facts["graph"] == ({"liked_together": len(found)} if found else {})
    assert all(row["relation"] == "liked_together" and row["value"] is None for row in found)
    return [(row["item_id"], row["other_id"], row["weight"]) for row in found]


LIKES = [
    ("a", 1), ("a", 2), ("a", 3),
    ("b", 1), ("b", 2),
    ("c", 2), ("c", 1),
    ("d", 2), ("d", 3),
]  # fmt: skip
LINKS = [(1, 2, 3), (2, 1, 3), (2, 3, 2), (3, 2, 2)]


def test_items_that_two_users_liked_are_linked_both_ways(tmp_path: Path) -> None:
    assert edges(tmp_path, LIKES) == LINKS


def test_likes_of_valid_and_test_make_and_raise_no_edge(tmp_path: Path) -> None:
    planted = [("b", 3), ("c", 3)]
    assert edges(tmp_path, LIKES, planted) == LINKS
    raised = [(1, 2, 3), (1, 3, 3), (2, 3, 4), (2, 1, 3), (3, 2, 4), (3, 1, 3)]
    assert edges(tmp_path, LIKES + planted) == raised, "in train they count"


def test_a_user_counts_once_for_a_pair(tmp_path: Path) -> None:
    assert edges(tmp_path, [("a", 1), ("a", 2), ("a", 1), ("a", 2)]) == []
    assert edges(tmp_path, [*LIKES, ("a", 1), ("a", 2)]) == LINKS


def test_only_a_users_latest_ten_likes_count(tmp_path: Path) -> None:
    likes = [(user, item) for user in ("a", "b") for item in range(12, 0, -1)]
    assert edges(tmp_path, likes) == [(one, other, 2) for one, other in permutations(range(1, 11), 2)]


def test_an_item_has_its_ten_strongest_links(tmp_path: Path) -> None:
    likes = [(f"{turn} {other}", item) for other in range(2, 14) for turn in range(2) for item in (1, other)]
    found = edges(tmp_path, [*likes, ("more", 1), ("more", 13)])
    assert found[:10] == [(1, 13, 3), *[(1, other, 2) for other in range(2, 11)]]
    assert found[10:] == [(other, 1, 2) for other in range(2, 13)] + [(13, 1, 3)]


def test_links_are_those_of_plain_python(tmp_path: Path) -> None:
    write_amazon(tmp_path / "raw", Shape(6000, 40, users=60, dirt=0.05))
    layout, again = Layout("x", tmp_path / "one"), Layout("x", tmp_path / "two")
    for place in (layout, again):
        facts = prep(place, {"reader": "book", "raw": str(tmp_path / "raw"), **ALL})
    assert layout.graph.read_bytes() == again.graph.read_bytes()
    table = rows(layout)
    assert facts["graph"] == Counter(row["relation"] for row in table)
    assert table == sorted(
        table, key=lambda r: (r["item_id"], r["relation"], -r["weight"], r["value"] or "", r["other_id"] or 0)
    )
    likes = defaultdict(list)
    for row in pq.read_table(layout.interactions).to_pylist():
        if row["split"] == "train" and row["label"]:
            likes[row["user_id"]].append(row["item_id"])
    pairs = Counter(pair for items in likes.values() for pair in permutations(set(items[-10:]), 2))
    links: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for (one, other), users in pairs.items():
        links[one] += [(-users, other)] * (users > 1)
    expected = [(one, other, -users) for one in sorted(links) for users, other in sorted(links[one])[:10]]
    assert max(map(len, links.values())) > 10
    linked = [row for row in table if row["relation"] == "liked_together"]
    assert [(row["item_id"], row["other_id"], row["weight"]) for row in linked] == expected


def prep(layout: Layout, source: dict[str, Any]) -> dict[str, Any]:
    return prepare(layout, TypeAdapter(Source).validate_python(source), Prep(max_bad_rows=0.5))


def attributes(layout: Layout) -> list[tuple[int, str, str]]:
    found = [row for row in rows(layout) if row["relation"] != "liked_together"]
    assert all(row["weight"] == 1 and row["other_id"] is None for row in found)
    return [(row["item_id"], row["relation"], row["value"]) for row in found]


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def test_amazons_categories_and_brands(tmp_path: Path) -> None:
    many = [f"c{n:02}" for n in range(30, 0, -1)]
    write_lines(tmp_path / "meta_Toys.json", [
        {"asin": "a", "title": "A", "brand": " <b>Lego</b> ",
         "category": ["Toys", " Games ", "", "Games", "Art"]},
        {"asin": "b", "title": "B"},
        {"asin": "c", "title": "C", "brand": "Last", "category": ["Toys", *many]},
        {"asin": "never rated", "title": "D", "category": ["Toys", "Dolls"]},
    ])  # fmt: skip
    write_lines(tmp_path / "Toys.json", [
        {"reviewerID": f"u{n}", "asin": "abc"[n % 3], "overall": 1 + n % 5, "unixReviewTime": START + n}
        for n in range(60)
    ])  # fmt: skip
    facts = prep(
        layout := Layout("x", tmp_path), {"reader": "book", "raw": str(tmp_path), "category": "Toys", **ALL}
    )
    assert attributes(layout) == [
        (1, "brand", "Lego"), (1, "category", "Art"), (1, "category", "Games"), (3, "brand", "Last"),
        *[(3, "category", name) for name in sorted(many[:19])],
    ]  # fmt: skip
    assert facts["graph"] == {"brand": 2, "category": 21}


def test_yelps_cities_and_attributes(tmp_path: Path) -> None:
    write_lines(tmp_path / "yelp_academic_dataset_business.json", [
        {"business_id": "a", "name": "A", "city": " Affton ", "categories": "Pizza, Bars",
         "attributes": {"BikeParking": "True", "HasTV": "False"}},
        {"business_id": "b", "name": "B", "city": "", "categories": None, "attributes": None},
    ])  # fmt: skip
    write_lines(tmp_path / "yelp_academic_dataset_review.json", [
        {"user_id": f"u{n}", "business_id": "ab"[n % 2], "stars": 1 + n % 5,
         "date": f"2015-01-01 00:00:{n:02}"}
        for n in range(60)
    ])  # fmt: skip
    prep(layout := Layout("x", tmp_path), {"reader": "yelp", "raw": str(tmp_path), **ALL})
    assert attributes(layout) == [
        (1, "attribute", "Bike Parking"), (1, "category", "Bars"), (1, "category", "Pizza"),
        (1, "city", "Affton"),
    ]  # fmt: skip
    assert pq.read_schema(layout.items).names == [
        "item_id", "raw_id", "title", "description", "categories", "attributes", "address"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("genres", "expected"), [(" Drama|\tMusical |Drama|", ["Drama", "Musical"]), ("|", [])]
)
def test_movielens_genres(tmp_path: Path, genres: str, expected: list[str]) -> None:
    write_ml1m(tmp_path, movies=f"10::Ten (1995)::{genres}\n11::Eleven (1968)::Drama\n".encode())
    prepare(layout := Layout("ml1m", tmp_path), ml1m(), Prep())
    assert attributes(layout) == [
        *[(1, "category", name) for name in expected], (2, "category", "Drama")
    ]  # fmt: skip


def items_of_many_attributes(count: int, memory: str, tmp_path: Path) -> list[tuple[Any, ...]]:
    """The graph of items with six categories each, five of them their own."""
    with connect(tmp_path / "work", memory) as connection:
        run_sql(connection, "contract")
        connection.execute(f"""
            CREATE TABLE items AS
            SELECT (range + 1)::INTEGER AS item_id, 'City ' || range % 90 AS city,
                ['food', 'a ' || range, 'b ' || range, 'c ' || range, 'd ' || range, 'e ' || range]
                    AS categories
            FROM range({count});
            CREATE TABLE interactions AS
            SELECT 1 AS user_id, 1 AS item_id, 1 AS label, 'train' AS split, 0 AS position;
        """)
        make_graph(connection)
        return connection.execute("FROM graph ORDER BY ALL").fetchall()


def test_attributes_are_listed_a_part_of_the_items_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = items_of_many_attributes(50, "600MB", tmp_path)
    monkeypatch.setattr(graph, "ITEMS", 7)
    assert items_of_many_attributes(50, "600MB", tmp_path) == whole
    assert len(whole) == 50 * 7
    monkeypatch.undo()
    assert len(items_of_many_attributes(120_000, "500MB", tmp_path)) == 120_000 * 7, "all at once need more"
