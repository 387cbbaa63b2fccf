"""Generate the embedded data set from a seed, as raw files.

Users have preferences: themes they want, themes they avoid, and a taste that their group shares; over time
one wanted and one avoided theme swap. Items reveal their themes only through cue words. Most items appear
during the two years, so that only their text can predict a like. The probability of every like is known, and
with it the best possible score. Everything here is our choice.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thinkrec.config.sections import Demo
from thinkrec.demo.words import SENTENCES, THEMES, TITLES
from thinkrec.files import whole

GROUPS = 3
START = 1_577_836_800  # 2020-01-01, UTC
SPAN = 2 * 365 * 86_400  # two years, in seconds
NEW_ITEMS = 0.75  # share of the items that appear after the start, uniformly over the two years
WANTED, AVOIDED, GROUP_TASTE, QUALITY, MOOD = 4.0, 3.0, 0.8, 0.3, 0.2  # effects, in logits


@dataclass(frozen=True)
class World:
    """The ground truth of the likes. Shapes: U users, I items, H themes.

    Args:
        themes: [I, H] 0/1, two themes per item.
        logit: [2, U, I] log-odds of a like, before and after the user's preferences change.
        changes: [U] seconds after START of that change.
        appears: [I] seconds after START from which an item is available.
        popularity: [I] weight of an item when users choose one.
    """

    themes: np.ndarray
    logit: np.ndarray
    changes: np.ndarray
    appears: np.ndarray
    popularity: np.ndarray


def make_world(demo: Demo, rng: np.random.Generator) -> World:
    """Draw items, users and the log-odds of every like."""
    themes = np.zeros((demo.items, len(THEMES)))
    for row in themes:
        row[rng.choice(len(THEMES), size=2, replace=False)] = 1
    group_taste = rng.normal(0, GROUP_TASTE, (GROUPS, len(THEMES)))
    taste = group_taste[rng.integers(GROUPS, size=demo.users)]
    later = taste.copy()
    for before, after in zip(taste, later, strict=True):
        picked = rng.choice(len(THEMES), size=5, replace=False)
        effect = np.array([WANTED, WANTED, -AVOIDED, -AVOIDED, -AVOIDED])
        before[picked] += effect
        after[picked] += effect[[2, 1, 0, 3, 4]]
    quality = rng.normal(0, QUALITY, demo.items)
    mood = rng.normal(0, MOOD, (demo.users, 1))
    logit = np.stack([taste, later]) @ themes.T + quality + mood
    logit -= np.quantile(logit, 0.6)
    changes = rng.uniform(0.2, 0.6, demo.users) * SPAN
    new = rng.random(demo.items) < NEW_ITEMS
    appears = np.where(new, rng.uniform(0, SPAN, demo.items), 0.0)
    return World(themes, logit, changes, appears, rng.lognormal(0, 0.7, demo.items))


def _texts(themes: np.ndarray, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Return title and description of each item, from cues of its two themes."""
    cues = [words.split() for words in THEMES.values()]
    texts = []
    for row in themes:
        drawn = [rng.permutation(cues[theme])[:5].tolist() for theme in np.flatnonzero(row)]
        first, second = drawn if rng.random() < 0.5 else drawn[::-1]
        title = TITLES[rng.integers(len(TITLES))].format(first[0], second[0])
        pairs = list(zip(first[1:], second[1:], strict=True))
        sentences = [SENTENCES[k] for k in rng.permutation(len(SENTENCES))[:4]]
        description = " ".join(s.format(*pair) for s, pair in zip(sentences, pairs, strict=True))
        texts.append((title[0].upper() + title[1:], description))
    return texts


def _interactions(world: World, demo: Demo, rng: np.random.Generator) -> list[tuple[int, int, int, float]]:
    """Draw interactions (seconds, user, item, log-odds of a like), no pair twice, in the order of time."""
    weight = rng.gamma(2.0, 1.0, demo.users)
    counts = np.minimum(rng.multinomial(demo.interactions, weight / weight.sum()), demo.items // 3)
    events = []
    for user, count in enumerate(counts):
        joined = rng.uniform(0, 0.8) * SPAN
        unseen = np.ones(demo.items, bool)
        for moment in np.sort(rng.uniform(joined, SPAN, count)):
            age = moment - world.appears
            fresh = 1 + 30 * np.exp(-np.maximum(age, 0) / (40 * 86_400)) * (world.appears > 0)
            logit = world.logit[int(moment > world.changes[user]), user]
            liking = np.exp(0.25 * np.clip(logit, -3, 3))
            odds = world.popularity * fresh * liking * unseen * (age >= 0)
            item = int(rng.choice(demo.items, p=odds / odds.sum()))
            unseen[item] = False
            events.append((int(moment), user, item, float(logit[item])))
    return sorted(events)


def _write(path: Path, header: list[str], rows: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def write_raw(folder: Path, demo: Demo) -> None:
    """Write users.csv, items.csv, ratings.csv and truth.csv (the probability of each like) to `folder`.

    Raises:
        StorageError: the disk is full or may not be written.
    """
    rng = np.random.default_rng(demo.seed)
    world = make_world(demo, rng)
    texts = _texts(world.themes, rng)
    ratings: list[tuple[object, ...]] = []
    truth: list[tuple[object, ...]] = []
    for seconds, user, item, logit in _interactions(world, demo, rng):
        probability = 1 / (1 + np.exp(-logit))
        liked = rng.random() < probability
        rating = rng.integers(4, 6) if liked else rng.integers(1, 4)
        key = (f"u{user + 1:04d}", f"i{item + 1:04d}")
        ratings.append((*key, int(rating), START + seconds))
        truth.append((*key, START + seconds, f"{probability:.6f}"))
    with whole(folder) as beside:
        beside.mkdir(parents=True)
        _write(beside / "users.csv", ["user"], [(f"u{n + 1:04d}",) for n in range(demo.users)])
        items: list[tuple[object, ...]] = [(f"i{n + 1:04d}", *text) for n, text in enumerate(texts)]
        _write(beside / "items.csv", ["item", "title", "description"], items)
        _write(beside / "ratings.csv", ["user", "item", "rating", "timestamp"], ratings)
        _write(beside / "truth.csv", ["user", "item", "timestamp", "probability"], truth)
