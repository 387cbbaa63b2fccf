"""Published counts and the settings that they hold for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from thinkrec.config.sources import BookSource, CustomSource, DemoSource, Ml1mSource, Source, YelpSource
from thinkrec.data.published import PUBLISHED, compare, other_settings, published_of

TABLES = Path(__file__).resolve().parents[2].parent / "shared" / "spec" / "paper_tables.json"


@pytest.mark.skipif(not TABLES.exists(), reason="the paper's tables are not in ../shared/spec")
def test_published_counts_are_the_papers() -> None:
    paper = json.loads(TABLES.read_text())["table1_statistics"]
    assert set(PUBLISHED) == set(paper)
    for name, printed in paper.items():
        ours = {one.what: one.value for one in PUBLISHED[name] if one.origin == "paper, Table 1"}
        padded = "" if name == "ml1m" else " + padding"
        names = {"users": f"users{padded}", "items": f"items{padded}"}
        assert ours == {names.get(key, f"rows {key}"): value for key, value in printed.items()}


def yelp_stats(users: int, file: str) -> dict[str, Any]:
    parts = {name: {"rows": 144_929, "users": 9, "items": 9} for name in ("train", "valid", "test")}
    files = {file: {"given": 6_990_280, "read": 6_990_000, "quarantined": {}}}
    return {
        "parts": {**parts, "all": {"rows": 9, "users": users, "items": 60_013}},
        "prep": {"files": files},
    }


def test_padding_is_counted_once_and_raw_files_may_be_gzipped() -> None:
    for file in ("yelp_academic_dataset_review.json", "yelp_academic_dataset_review.json.gz"):
        found = compare(yelp_stats(40_616, file), YelpSource(reader="yelp"))
        assert found and found["other_settings"] == {}
        by_name = {each["what"]: each for each in found["counts"]}
        assert [by_name[name]["ours"] for name in ("users", "users + padding")] == [40_616, 40_617]
        assert {name for name, each in by_name.items() if each["equal"] is False} == {"rows train"}
        assert by_name["rows train"]["difference"] == 144_929 - 1_637_168
        assert by_name["raw reviews"] | {"note": ""} == {
            "what": "raw reviews",
            "ours": 6_990_280,
            "published": 6_990_280,
            "difference": 0,
            "equal": True,
            "source": "release",
            "note": "",
        }
    found = compare({**yelp_stats(40_617, "other.json"), "prep": None}, YelpSource(reader="yelp"))
    assert found
    by_name = {each["what"]: each for each in found["counts"]}
    assert by_name["users"]["equal"] is by_name["users + padding"]["equal"] is False
    assert by_name["raw reviews"]["ours"] is by_name["raw reviews"]["equal"] is None


@pytest.mark.parametrize(
    "source",
    [
        DemoSource(reader="demo"),
        CustomSource(reader="custom", raw="x"),
        BookSource(reader="book", category="Gift_Cards"),
    ],
    ids=["demo", "custom", "gift cards"],
)
def test_nothing_was_published_of_other_data(source: Source) -> None:
    assert published_of(source) == []
    assert compare(yelp_stats(1, "x"), source) is None


@pytest.mark.parametrize(
    ("source", "other"),
    [
        (Ml1mSource(reader="ml1m", raw="elsewhere", plots=True), {}),
        (BookSource(reader="book", raw="s3://bucket/book"), {}),
        (YelpSource(reader="yelp", min_interactions=6), {"min_interactions": (6, 21)}),
        (BookSource(reader="book", five_core=True), {"five_core": (True, False)}),
    ],
)
def test_settings_that_are_not_the_papers(source: Source, other: dict[str, tuple[Any, Any]]) -> None:
    expected = {key: {"here": here, "paper": paper} for key, (here, paper) in other.items()}
    assert other_settings(source) == expected


def test_settings_of_a_split_and_a_day() -> None:
    split = {"rule": "months", "train": {"first": 13, "last": 23}}
    changed = Ml1mSource.model_validate({"reader": "ml1m", "split": split, "last_day": "2003-01-31"})
    assert other_settings(changed) == {
        "last_day": {"here": "2003-01-31", "paper": None},
        "split.train.first": {"here": 13, "paper": 14},
    }
    another = Ml1mSource.model_validate({"reader": "ml1m", "split": {"rule": "random"}})
    assert other_settings(another) == {"split.rule": {"here": "random", "paper": "months"}}
