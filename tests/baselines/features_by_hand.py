"""Every feature of gbdt again, one row at a time, with nothing but lists: slow and plain."""

from __future__ import annotations

from math import log, log1p, nan, sqrt

import numpy as np

from thinkrec.data.moments import SECOND
from thinkrec.data.tables import Interactions
from thinkrec.protocols import Protocol


def random_interactions(
    seed: int, users: int = 6, items: int = 5, rows: int = 60, chance: bool = False
) -> Interactions:
    """Few users, items and moments, so that ties and repeats occur; split by time or by chance."""
    rng = np.random.default_rng(seed)
    user = np.sort(rng.integers(1, users + 1, rows))
    timestamp = rng.integers(0, rows // 3, rows) * 50 * SECOND
    timestamp = timestamp[np.lexsort((timestamp, user))]
    start = np.flatnonzero(np.diff(user, prepend=-1))
    position = np.arange(rows) - np.repeat(start, np.diff(np.append(start, rows)))
    place = rng.random(rows) if chance else timestamp / max(1, timestamp.max())
    split = ((place > 0.6).astype(np.int8) + (place > 0.8)).astype(np.int8)
    item, label = rng.integers(1, items + 1, rows), rng.integers(0, 2, rows)
    return Interactions(user, item, label, timestamp, position, split, np.ones(rows, dtype=bool))


class ByHand:
    """Features of `data` by row number."""

    def __init__(self, data: Interactions, protocol: Protocol, width: int) -> None:
        self.data, self.protocol, self.width = data, protocol, width
        self.user, self.item, self.label = data.user_id.tolist(), data.item_id.tolist(), data.label.tolist()
        self.time, self.train = (data.timestamp / SECOND).tolist(), (data.split == 0).tolist()
        self.place = [len(self.history(row)) for row in range(len(data))]

    def history(self, row: int) -> list[int]:
        """The user's rows before `row`, oldest first."""
        before = [k for k in range(row) if self.user[k] == self.user[row]]
        return before if self.protocol == "rolling" else [k for k in before if self.train[k]]

    def past(self, row: int, item: int | None = None) -> list[int]:
        """Train rows at earlier moments, of one item or of all."""
        return [
            k for k in range(len(self.user))
            if self.train[k] and self.time[k] < self.time[row] and item in (None, self.item[k])
        ]  # fmt: skip

    def mean(self, row: int) -> float:
        past = self.past(row)
        return (sum(self.label[k] for k in past) + 1) / (len(past) + 2)

    def share(self, row: int, history: list[int]) -> float:
        return (sum(self.label[k] for k in history) + 10 * self.mean(row)) / (len(history) + 10)

    def train_share(self, row: int) -> float:
        return self.share(row, [k for k in range(row) if self.user[k] == self.user[row] and self.train[k]])

    def quality(self, row: int) -> float:
        past = self.past(row, self.item[row])
        return sum(self.label[k] - self.train_share(k) for k in past) / (len(past) + 5)

    def surprise(self, row: int) -> float:
        return self.label[row] - min(max(self.train_share(row) + self.quality(row), 0.05), 0.95)

    def popularity(self, row: int) -> float:
        return log1p(len(self.past(row, self.item[row]))) - log1p(len(self.past(row)))

    def pause(self, row: int) -> float:
        history = self.history(row)
        return log1p(self.time[row] - self.time[history[-1]]) if history else nan

    def features(self, row: int) -> dict[str, float]:
        return self.own(row) | self.of_item(row) | self.taste(row) | self.neighbours(row)

    def own(self, row: int) -> dict[str, float]:
        history, mean = self.history(row), self.mean(row)
        found = {"history_rows": float(len(history)), "pause": self.pause(row)}
        found["tenure"] = log1p(self.time[row] - self.time[history[0]]) if history else nan
        for width in (3, 5, 10, 25, 100, 10**9):
            latest, name = history[-width:], "all" if width == 10**9 else width
            likes, rows = sum(self.label[k] for k in latest), len(latest) + 2
            found[f"share_{name}"] = (likes + 2 * mean) / rows
            if name in (10, "all"):
                expected = sum(self.mean(k) + self.quality(k) for k in latest)
                found[f"beyond_{name}"] = (likes - expected) / rows
                found[f"met_quality_{name}"] = sum(self.quality(k) for k in latest) / rows
        for steps in (1, 2, 3):
            known = len(history) >= steps
            found[f"liked_{steps}"] = self.label[history[-steps]] if known else nan
            found[f"quality_{steps}"] = self.quality(history[-steps]) if known else nan
        return found

    def of_item(self, row: int) -> dict[str, float]:
        past, all_rows = self.past(row, self.item[row]), self.past(row)

        def usual(value) -> float:
            mean = sum(value(k) for k in all_rows) / max(len(all_rows), 1)
            return (sum(value(k) for k in past) + 3 * mean) / (len(past) + 3)

        def pause(k: int) -> float:
            return self.pause(k) if self.history(k) else 0.0

        place = usual(lambda k: log1p(self.place[k]))
        likes = sum(self.label[k] for k in past)
        return {
            "item_share": (likes + 10 * self.mean(row)) / (len(past) + 10),
            "item_quality": self.quality(row),
            "item_rows": log1p(len(past)),
            "item_popularity": self.popularity(row),
            "item_age": log1p(self.time[row] - min(self.time[k] for k in past)) if past else nan,
            "item_place": place,
            "place_beyond": log1p(self.place[row]) - place,
            "item_pause": usual(pause),
        }

    def taste(self, row: int) -> dict[str, float]:
        history, found = self.history(row), {}
        likes = [self.label[k] for k in history]
        for name, value, damping in (("quality", self.quality, 1), ("popularity", self.popularity, 5)):
            values = [value(k) for k in history]
            mean = sum(values) / len(values) if values else 0.0
            spread = sum((x - mean) ** 2 for x in values)
            slope = sum((x - mean) * y for x, y in zip(values, likes, strict=True)) / (spread + damping)
            beyond = value(row) - mean if values else 0.0
            of_likes = sum(x * y for x, y in zip(values, likes, strict=True)) / (sum(likes) + 1)
            found |= {
                f"{name}_slope": slope, f"{name}_beyond": beyond, f"{name}_tilt": slope * beyond,
                f"{name}_of_likes": of_likes,
            }  # fmt: skip
        return found

    def meetings(self, row: int, other: int) -> list[tuple[int, int]]:
        """Pairs (row of the target's item, row of the other's) of one user, in train, before `row`."""
        found = []
        for late in self.past(row):
            for early in self.history(late)[-self.width :]:
                items = {self.item[late], self.item[early]}
                if self.train[early] and items == {self.item[row], self.item[other]}:
                    swap = self.item[late] != self.item[row]
                    found.append((early, late) if swap else (late, early))
        return found

    def neighbours(self, row: int) -> dict[str, float]:
        agreement = size = verdict = judged = judges = shared = shared_likes = cosine = cosine_likes = 0.0
        share = self.share(row, self.history(row))
        for other in self.history(row)[-self.width :]:
            met, liked = self.meetings(row, other), self.label[other]
            weight = sum(self.surprise(a) * self.surprise(b) for a, b in met) / (len(met) + 3)
            agreement, size = agreement + (liked - share) * weight, size + abs(weight)
            same = [self.surprise(a) for a, b in met if self.label[b] == liked]
            verdict, judged, judges = (
                verdict + sum(same) / (len(same) + 3),
                judged + sum(same),
                judges + len(same),
            )
            shared, shared_likes = shared + len(met), shared_likes + liked * len(met)
            rows = [len(self.past(k, self.item[k])) + 1 for k in (row, other)]
            cosine += len(met) / sqrt(rows[0] * rows[1])
            cosine_likes += liked * len(met) / sqrt(rows[0] * rows[1])
        return {
            "agreement": agreement, "agreement_mean": agreement / (size + 0.5),
            "verdict": verdict, "verdict_mean": judged / (judges + 10),
            "shared": log(1 + shared), "shared_likes": shared_likes / (shared + 5),
            "cosine": cosine, "cosine_likes": cosine_likes / (cosine + 0.05),
        }  # fmt: skip
