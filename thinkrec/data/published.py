"""Published counts of the paper's data sets, and their comparison with ours.

Paper: ThinkRec, Table 1. Release: the authors' public code.
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
        what: name in the table.
        value: published value.
        origin: paper or release.
        keys: path of our count in the statistics; () if we have none.
        added: constant by which the published count exceeds ours.
        same: whether both count the same thing and must be equal.
        note: remark for the reader.
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
    """Users and items after the activity filter: counts of the release, and of the paper, one larger."""
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
"""Published counts by `reader`."""

_IGNORED = ("raw", "watch", "plots")
"""Settings that do not decide which rows there are."""


def published_of(source: Source) -> list[Count]:
    """Return the published counts of a source's data set, whatever its settings; [] if there are none."""
    if isinstance(source, BookSource) and source.category != BookSource.model_fields["category"].default:
        return []
    return PUBLISHED.get(source.reader, [])


def other_settings(source: Source) -> dict[str, dict[str, Any]]:
    """Find settings that differ from the paper's: dotted key -> `{"here": value, "paper": value}`.

    Keys that only one of two split rules has are not compared.
    """
    defaults = type(source).model_validate({"reader": source.reader, "raw": source.raw})
    here, paper = _flat(source.model_dump(mode="json")), _flat(defaults.model_dump(mode="json"))
    return {
        key: {"here": here[key], "paper": paper[key]}
        for key in here
        if key in paper and here[key] != paper[key] and key not in _IGNORED
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        inner = _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
        flat |= inner
    return flat


def compare(stats: Mapping[str, Any], source: Source) -> dict[str, Any] | None:
    """Compare a data set's statistics with the published counts.

    Returns:
        `counts`: per published count: what, ours (None if not counted), published, difference (ours minus
        published), equal (None if the two count different things or ours is missing), source, note.
        `other_settings`: see `other_settings`; if there are any, counts may differ. None if nothing was
        published.
    """
    counts = published_of(source)
    if not counts:
        return None
    return {"counts": [_entry(count, stats) for count in counts], "other_settings": other_settings(source)}


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
    value: Any = stats if count.keys else None
    for key in count.keys:
        if isinstance(value, Mapping):
            value = value.get(key, value.get(f"{key}.gz"))  # raw files may be gzipped
    return None if value is None else int(value) + count.added
