"""Counts that were published of the paper's data sets, each with its source, and how ours compare.

Paper: ThinkRec, Table 1, as printed. Release: facts of the authors' public code, as this project's
specification lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thinkrec.config.sources import BookSource, Source

PAPER, RELEASE = "paper, Table 1", "release"
_PADDING = "the paper counts id 0, the padding, as one more; so does `ours` here"
_OTHER = "the paper does not say which it counts; `ours`: those in the splits' rows"
_REPEATS = "neither says whether repeated rows were dropped, as ours are unless `repeated: keep`"
_ALL_YEARS = "of all years"
_RAW = ("prep", "files")


@dataclass(frozen=True)
class Count:
    """A published count.

    Args:
        what: the name that the table shows.
        value: as published.
        origin: who published it.
        keys: where ours is in the statistics; () where we count no such thing.
        added: what the published number counts besides ours.
        same: whether it counts what ours counts, so that both must be equal.
        note: what else a reader has to know.
    """

    what: str
    value: int
    origin: str
    keys: tuple[str, ...]
    added: int = 0
    same: bool = True
    note: str = ""


def _splits(train: int, valid: int, test: int, note: str = "") -> list[Count]:
    values = {"train": train, "valid": valid, "test": test}
    return [Count(f"rows {part}", n, PAPER, ("parts", part, "rows"), note=note) for part, n in values.items()]


def _filtered(users: int, items: int) -> list[Count]:
    """Users and items after the activity filter: the release's counts, and the paper's, one larger each."""
    ours = {"users": users, "items": items}
    return [
        *(Count(name, n, RELEASE, ("parts", "all", name)) for name, n in ours.items()),
        *(
            Count(f"{name} + padding", n + 1, PAPER, ("parts", "all", name), 1, note=_PADDING)
            for name, n in ours.items()
        ),
    ]


PUBLISHED: dict[str, list[Count]] = {
    "ml1m": [
        *_splits(33_891, 10_401, 7_331),
        Count("users", 5_945, PAPER, ("parts", "all", "users"), same=False, note=_OTHER),
        Count("items", 3_687, PAPER, ("parts", "all", "items"), same=False, note=_OTHER),
        Count("raw ratings", 1_000_209, RELEASE, (*_RAW, "ratings.dat", "given")),
    ],
    "yelp": [
        *_splits(1_637_168, 144_929, 144_929, _REPEATS),
        *_filtered(40_616, 60_013),
        Count("raw reviews", 6_990_280, RELEASE, (*_RAW, "yelp_academic_dataset_review.json", "given")),
    ],
    "book": [
        *_splits(650_865, 56_262, 56_262, _REPEATS),
        *_filtered(22_685, 47_058),
        Count(
            "raw reviews with metadata",
            47_059_165,
            RELEASE,
            ("prep", "ratings_of_known_items"),
            note=_ALL_YEARS,
        ),
    ],
}
"""By a source's `reader`."""

_NO_MATTER = (
    "raw",
    "watch",
    "plots",
)  # where the files lie, and a text: neither decides which rows there are


def published_of(source: Source) -> list[Count]:
    """The counts published of a source's data set, whatever its settings; none for other data sets."""
    if isinstance(source, BookSource) and source.category != BookSource.model_fields["category"].default:
        return []
    return PUBLISHED.get(source.reader, [])


def other_settings(source: Source) -> dict[str, dict[str, Any]]:
    """Settings that are not the paper's, by dotted key: `{"here": value, "paper": value}`.

    Where a split's rule differs, only the rule is named: another rule has other keys.
    """
    usual = type(source).model_validate({"reader": source.reader, "raw": source.raw})
    here, paper = _flat(source.model_dump(mode="json")), _flat(usual.model_dump(mode="json"))
    return {
        key: {"here": here[key], "paper": paper[key]}
        for key in here
        if key in paper and here[key] != paper[key] and key not in _NO_MATTER
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
        found |= inner
    return found


def compare(stats: Mapping[str, Any], source: Source) -> dict[str, Any] | None:
    """Hold a data set's statistics against the published counts.

    Returns:
        `counts`: one entry a published count: what, ours (None where not counted), published, difference
        (ours less published), equal (None where the two count different things or ours is missing),
        source, note. `other_settings`: see there; where there are some, counts need not be equal.
        None where nothing was published.
    """
    counts = published_of(source)
    if not counts:
        return None
    return {"counts": [_entry(one, stats) for one in counts], "other_settings": other_settings(source)}


def _entry(count: Count, stats: Mapping[str, Any]) -> dict[str, Any]:
    ours = _ours(count, stats)
    return {
        "what": count.what,
        "ours": ours,
        "published": count.value,
        "difference": None if ours is None else ours - count.value,
        "equal": ours == count.value if count.same and ours is not None else None,
        "source": count.origin,
        "note": count.note,
    }


def _ours(count: Count, stats: Mapping[str, Any]) -> int | None:
    found: Any = stats if count.keys else None
    for key in count.keys:
        if isinstance(found, Mapping):
            found = found.get(key, found.get(f"{key}.gz"))  # raw files may be gzipped
    return None if found is None else int(found) + count.added
