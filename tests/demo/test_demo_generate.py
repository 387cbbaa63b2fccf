"""The embedded data set: the same for a seed, with known probabilities, cold items and no theme named."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from thinkrec.config.sections import Demo
from thinkrec.demo.generate import START, write_raw
from thinkrec.demo.words import THEMES

Row = dict[str, str]
FILES = ("items.csv", "ratings.csv", "truth.csv", "users.csv")


def read(folder: Path, name: str) -> list[Row]:
    with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many interactions as the default set, of more users with fewer items."""
    folder = tmp_path_factory.mktemp("raw") / "demo"
    write_raw(folder, Demo(users=200, items=200, interactions=6000))
    return folder


def test_the_same_seed_gives_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    sizes = {"users": 30, "items": 40, "interactions": 300}
    for name, seed in (("one", 7), ("same", 7), ("other", 8)):
        write_raw(tmp_path / name, Demo(**sizes, seed=seed))
    one, same, other = ([(tmp_path / n / f).read_bytes() for f in FILES] for n in ("one", "same", "other"))
    assert one == same
    assert one[1] != other[1]


def test_likes_come_as_often_as_their_probabilities_say(raw: Path) -> None:
    ratings, truth = read(raw, "ratings"), read(raw, "truth")
    assert [(r["user"], r["item"], r["timestamp"]) for r in ratings] == [
        (t["user"], t["item"], t["timestamp"]) for t in truth
    ]
    liked = np.array([int(row["rating"]) > 3 for row in ratings], dtype=float)
    said = np.array([float(row["probability"]) for row in truth])
    assert ((said > 0) & (said < 1)).all()
    assert said.std() > 0.25  # they tell something
    for low in np.arange(0, 1, 0.1):
        inside = (said >= low) & (said < low + 0.1)
        assert inside.sum() > 50
        noise = np.sqrt((said[inside] * (1 - said[inside])).sum()) / inside.sum()
        assert abs(liked[inside].mean() - said[inside].mean()) < 4 * noise


def test_no_pair_occurs_twice_and_time_runs_on(raw: Path) -> None:
    ratings = read(raw, "ratings")
    assert len({(row["user"], row["item"]) for row in ratings}) == len(ratings) > 5000
    times = [int(row["timestamp"]) for row in ratings]
    assert times == sorted(times)
    assert times[0] >= START
    assert {int(row["rating"]) for row in ratings} == {1, 2, 3, 4, 5}
    assert {row["user"] for row in ratings} <= {row["user"] for row in read(raw, "users")}
    assert {row["item"] for row in ratings} <= {row["item"] for row in read(raw, "items")}


def test_some_items_are_cold(raw: Path) -> None:
    ratings = read(raw, "ratings")
    cut = int(0.85 * len(ratings))
    train = {row["item"] for row in ratings[: int(0.7 * len(ratings))]}
    cold = [row for row in ratings[cut:] if row["item"] not in train]
    assert 0.1 < len(cold) / len(ratings[cut:]) < 0.9


def test_items_say_their_themes_by_cues_only(raw: Path) -> None:
    cues = {cue: theme for theme, words in THEMES.items() for cue in words.split()}
    for item in read(raw, "items"):
        words = [word.strip(".,").lower() for word in f"{item['title']} {item['description']}".split()]
        assert not set(words) & set(THEMES)
        assert len({cues[word] for word in words if word in cues}) == 2
    assert len({item["title"] for item in read(raw, "items")}) > 150


def test_a_cue_belongs_to_one_theme() -> None:
    every = [cue for words in THEMES.values() for cue in words.split()]
    assert len(every) == len(set(every))
