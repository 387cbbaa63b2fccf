"""Inputs of the fuzzer, one strategy per reader: raw files, the source's settings, the section `prep`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from fuzz import dirt
from fuzz.files import COMMAS, Column, Draw, RawText, Written, array_file, parquet_file, text_file

Core = tuple[str, str, int]
"""User, item and timestamp (ns) of a clean rating."""


@dataclass(frozen=True)
class Case:
    """An input.

    Args:
        reader: its name.
        source: the data set's section of params.yaml.
        prep: the section `prep`.
        files: the raw files.
        ratings: name of the file of ratings.
        core: the clean ratings, in the order of that file's `core`.
    """

    reader: str
    source: dict[str, Any]
    prep: dict[str, Any]
    files: tuple[RawText, ...]
    ratings: str
    core: tuple[Core, ...]


USERS, ITEMS, NUMBERS = dirt.USERS, dirt.ITEMS, [str(n) for n in range(1, 6)]
STEP = 4 * 86_400
"""Seconds between two clean ratings: they span September 2020 to January 2021."""
MOMENTS = tuple((USERS[n % 4], ITEMS[n % 5], dirt.START + STEP * n) for n in range(30))
CORE = tuple((user, item, moment * 10**9) for user, item, moment in MOMENTS)
SECONDS = [str(dirt.START + STEP * n) for n in (0, 1, 2, 29, 100)]


def _when(moment: int) -> str:
    return datetime.fromtimestamp(moment, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")


def _ratings(stars: tuple[str, str] = ("5", "1"), time: Callable[[int], str] = str) -> list[list[str]]:
    """Make the clean ratings, alternating likes and dislikes."""
    return [[user, item, stars[n % 2], time(moment)] for n, (user, item, moment) in enumerate(MOMENTS)]


def _columns(user: str, item: str, rating: str, time: str, dates: bool = False) -> list[Column]:
    return [
        Column(user, USERS),
        Column(item, ITEMS),
        Column(rating, NUMBERS, "number"),
        Column(time, [_when(int(moment)) for moment in SECONDS] if dates else SECONDS, "time"),
    ]


def _texts(item: str, *texts: str) -> list[Column]:
    return [Column(item, ITEMS), *(Column(name, ["A title", "Two, three", "a|b"]) for name in texts)]


def _items(texts: int) -> list[list[str]]:
    return [[item, *[f"Title of {item}"] * texts] for item in ITEMS]


def _months(valid: int) -> dict[str, Any]:
    """Make a split by months, with a gap between train and valid, or none."""
    ranges = {"train": (0, 0), "valid": (valid, valid), "test": (valid + 1, 9999)}
    return {"rule": "months", **{name: {"first": a, "last": b} for name, (a, b) in ranges.items()}}


RULES: list[dict[str, Any]] = [
    {"rule": "random"}, {"rule": "leave_one_out"}, {"rule": "share", "valid": 0.3, "test": 0.2},
    *[{"rule": "date", "train_until": f"2020-{day}"} for day in ("09-12", "09-30", "11-01")],
    {"rule": "date", "train_until": "9999-12-31"}, *map(_months, range(1, 4)),
]  # fmt: skip


@st.composite
def _settings(draw: Draw) -> tuple[dict[str, Any], dict[str, Any]]:
    """What all sources share, mostly open wide; and the section `prep`."""
    source: dict[str, Any] = {"raw": "raw", "min_interactions": 1, "first_day": None, "last_day": None}
    source["split"] = {"rule": "share"}
    if draw(st.integers(0, 3)) == 0:
        source["min_interactions"] = draw(st.sampled_from([1, 2, 4]))
        source["repeated"] = draw(st.sampled_from(["drop", "keep"]))
        source["split"] = draw(st.sampled_from(RULES))
        days = st.sampled_from([None, None, "0001-01-01", "1990-01-01", "2020-09-20"])
        source["first_day"] = draw(days)
        source["last_day"] = draw(st.sampled_from([None, None, "2020-12-24", "2099-12-31", "9999-12-31"]))
    bounds = [{"max_bad_rows": 1.0}] * 8 + [{"max_bad_rows": 0.05}, {"max_bad_rows": 0.5}]
    return source, {
        **draw(st.sampled_from(bounds)),
        "max_quarantine_rows": draw(st.sampled_from([1000] * 6 + [1, 3])),
        "max_memory": "1GB",  # to measure the machine's takes as long as all the rest
    }


@st.composite
def _demo(draw: Draw) -> Case:
    source, prep = draw(_settings())
    ratings = _columns("user", "item", "rating", "timestamp")
    files = [
        draw(text_file("items.csv", "csv", _texts("item", "title", "description"), _items(2))),
        draw(text_file("ratings.csv", "csv", ratings, _ratings())),
    ]
    if draw(st.integers(0, 3)) == 0:
        files.append(draw(text_file("users.csv", "csv", [Column("user", USERS)], [[user] for user in USERS])))
    if draw(st.integers(0, 3)) == 0:
        columns = [*ratings[:2], ratings[3], Column("probability", ["0.5", "1", "0"], "number")]
        rows = [[user, item, str(moment), "0.5"] for user, item, moment in MOMENTS]
        files.append(draw(text_file("truth.csv", "csv", columns, rows)))
    return Case("demo", {"reader": "demo", **source}, prep, tuple(files), "ratings.csv", CORE)


@st.composite
def _ml1m(draw: Draw) -> Case:
    source, prep = draw(_settings())
    plots = draw(st.integers(0, 2)) == 0
    columns = _columns("", "", "", "")
    files = [
        draw(text_file("movies.dat", "latin-1", _texts("", "", ""), _items(2))),
        draw(text_file("ratings.dat", "latin-1", columns, _ratings())),
    ]
    if plots:
        files.append(draw(text_file("movies_extrainfos.dat", "utf-8", _texts("", *[""] * 10), _items(10))))
    return Case("ml1m", {"reader": "ml1m", "plots": plots, **source}, prep, tuple(files), "ratings.dat", CORE)


def _ending(draw: Draw) -> str:
    return draw(st.sampled_from(["", ".gz"]))


@st.composite
def _yelp(draw: Draw) -> Case:
    source, prep = draw(_settings())
    name = "yelp_academic_dataset_{}.json{}"
    ratings = name.format("review", _ending(draw))
    items = name.format("business", _ending(draw))
    columns = _columns("user_id", "business_id", "stars", "date", dates=True)
    texts = _texts("business_id", "name", "categories", "attributes", "address")
    files = (
        draw(text_file(items, "json", texts, _items(4))),
        draw(text_file(ratings, "json", columns, _ratings(time=_when))),
    )
    return Case("yelp", {"reader": "yelp", **source}, prep, files, ratings, CORE)


@st.composite
def _book(draw: Draw) -> Case:
    source, prep = draw(_settings())
    ratings, items = f"Books.json{_ending(draw)}", f"meta_Books.json{_ending(draw)}"
    odd = draw(st.sampled_from([""] * 30 + ["2014", "2023"]))
    user, item = ("user_id", "parent_asin") if odd == "2023" else ("reviewerID", "asin")
    columns = _columns(user, item, "overall", "unixReviewTime")
    texts = _texts("asin", "title", "description", "category", "brand", "imUrl" if odd == "2014" else "price")
    files = (
        draw(text_file(items, "json", texts, _items(5))),
        draw(text_file(ratings, "json", columns, _ratings())),
    )
    return Case("book", {"reader": "book", **source}, prep, files, ratings, CORE)


NAMES = [
    "user", "item", "rating", "timestamp", "user id", "line", "text", "reason", "Größe", "select", 'a"b',
    "it's", "file_row_number", "User", "a.b", "category", "title", "0", "x,y",
]  # fmt: skip


@st.composite
def _custom(draw: Draw) -> Case:
    source, prep = draw(_settings())
    tables = [".csv", ".csv", ".tsv", ".dat", ".inter", ".csv.gz", ".csv.zst"]
    endings = [*tables, ".json", ".jsonl.gz", ".ndjson", ".parquet"]
    time = draw(st.sampled_from(list(_TIME_FORMATS)))
    time_format = _TIME_FORMATS[time]
    written = draw(st.sampled_from(WAYS))
    source |= {"separator": written.separator, "quote": written.quote, "header": written.header}
    source["encoding"] = written.encoding
    label = draw(st.sampled_from([None, "0 and 1", "false and true"]))
    usual = ["user", "item", "rating", "timestamp"]
    names = draw(st.just(usual) | st.lists(st.sampled_from(NAMES), min_size=4, max_size=4, unique=True))
    ratings = "r" + draw(st.sampled_from(endings))
    numbered = ["1", "2", "3", "4"]
    if not written.header and _layout(ratings) == "csv":
        names = numbered
    stars = {None: ("5", "1"), "0 and 1": ("1", "0"), "false and true": ("true", "False")}[label]
    columns = _columns(*names)
    columns[2] = Column(names[2], NUMBERS if label is None else list(stars), "number")
    columns[3] = Column(names[3], [time_format(int(moment)) for moment in SECONDS], "time")
    source |= {"reader": "custom", "ratings": ratings, "items": None, "time": time}
    source |= dict(zip(("user", "item", "label" if label else "rating", "timestamp"), names, strict=True))
    if label:
        source["rating"] = None
    elif draw(st.booleans()):
        source |= {"min_rating": 1, "max_rating": 5}
    files = [draw(_file(ratings, columns, _ratings(stars, time_format), written))]
    if draw(st.booleans()):
        items = "i" + draw(st.sampled_from(endings))
        texts = draw(
            st.just(["item", "title", "description", "categories"])
            | st.lists(st.sampled_from(NAMES), min_size=4, max_size=4, unique=True)
        )
        if not written.header and _layout(items) == "csv":
            texts = numbered
        files.insert(0, draw(_file(items, _texts(*texts), _items(3), written)))
        source |= {"items": items, "item_id": texts[0], "title": texts[1]}
        source |= {"description": draw(st.sampled_from([None, texts[2]])), "categories": texts[3]}
    part = {"seconds": 0, "text": 10**6}.get(time, 10**6)
    core = tuple((user, item, moment * 10**9 + _part(moment) * part) for user, item, moment in MOMENTS)
    return Case("custom", source, prep, tuple(files), ratings, core)


WAYS = [
    *[Written()] * 4, Written(";"), Written("\t"), Written("|", "'"), Written("::", ""), Written(",", ""),
    Written("\u00a6", ""), Written(header=False), Written(encoding="latin-1"), Written(encoding="cp1252"),
    Written(";", encoding="utf-16"),
]  # fmt: skip
"""Dialects of the custom reader's files."""


def _part(moment: int) -> int:
    """Return the milliseconds of a clean rating's timestamp."""
    return moment // 7 % 1000


_TIME_FORMATS: dict[str, Callable[[int], str]] = {
    "seconds": str,
    "milliseconds": lambda moment: str(moment * 1000 + _part(moment)),
    "microseconds": lambda moment: str(moment * 10**6 + _part(moment) * 1000),
    "nanoseconds": lambda moment: str(moment * 10**9 + _part(moment) * 10**6),
    "text": lambda moment: f"{_when(moment)}.{_part(moment):03d}",
}
"""Formats of a timestamp by the custom reader's `time`."""


def _layout(name: str) -> str:
    plain = name.removesuffix(".gz").removesuffix(".zst")
    if plain.endswith(".parquet"):
        return "parquet"
    return "json" if plain.endswith((".json", ".jsonl", ".ndjson")) else "csv"


@st.composite
def _file(draw: Draw, name: str, columns: list[Column], rows: list[list[str]], written: Written) -> RawText:
    layout = _layout(name)
    if layout == "parquet":
        return draw(parquet_file(name, columns, rows))
    if layout == "json" and draw(st.integers(0, 4)) == 0:
        return draw(array_file(name, columns, rows))
    return draw(text_file(name, layout, columns, rows, written if layout == "csv" else COMMAS))


READERS: dict[str, Callable[[], st.SearchStrategy[Case]]] = {
    "demo": _demo, "ml1m": _ml1m, "yelp": _yelp, "book": _book, "custom": _custom
}  # fmt: skip


def cases(reader: str) -> st.SearchStrategy[Case]:
    """Return the strategy of a reader's inputs."""
    return READERS[reader]()
