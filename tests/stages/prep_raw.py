"""Small raw folders written by hand, for the tests of `prep`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from thinkrec.config.sections import Prep
from thinkrec.config.sources import DemoSource, Ml1mSource, ShareSplit
from thinkrec.data.prepare import prepare
from thinkrec.layout import Layout

START = 1_600_000_000
SECOND = 1_000_000_000
Row = tuple[Any, ...]


def ratings(users: int = 4, rows: int = 40) -> list[Row]:
    """Rows (user, item, rating, timestamp): users take turns, 7 items, likes and dislikes in every part."""
    return [(f"u{n % users}", f"i{n % 7}", 1 + n % 5, START + 60 * n) for n in range(rows)]


def write_csv(path: Path, header: str, rows: list[Row]) -> None:
    """One CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header.split(","), *rows])


def write_demo(root: Path, rows: list[Row], items: list[Row] | None = None) -> Path:
    """items.csv (i0 to i6 unless given) and ratings.csv in the default raw folder."""
    raw = root / "data" / "raw" / "demo"
    items = items or [(f"i{n}", f"Title {n}", f"About {n}") for n in range(7)]
    write_csv(raw / "items.csv", "item,title,description", items)
    write_csv(raw / "ratings.csv", "user,item,rating,timestamp", rows)
    return raw


def stored(layout: Layout) -> list[dict[str, Any]]:
    """The rows of interactions.parquet, moments as nanoseconds."""
    table = pq.read_table(layout.interactions)
    place = table.column_names.index("timestamp")
    return table.set_column(place, "timestamp", table["timestamp"].cast(pa.int64())).to_pylist()


def append(path: Path, *lines: bytes) -> None:
    """Add lines to a file."""
    with path.open("ab") as file:
        file.writelines(line + b"\n" for line in lines)


def prep_demo(root: Path, max_bad_rows: float = 0.9, **prep: Any) -> dict[str, Any]:
    """Run the stage on `root`'s demo."""
    source = DemoSource(reader="demo", split=ShareSplit(rule="share"))
    return prepare(Layout("demo", root), source, Prep(max_bad_rows=max_bad_rows, **prep))


MONTH = 2_678_400


def write_ml1m(root: Path, ratings_dat: bytes | None = None, movies: bytes | None = None) -> Path:
    """Ten months of ratings in MovieLens format."""
    raw = root / "data" / "raw" / "ml1m"
    raw.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{1 + n % 3}::{10 + n % 2}::{1 + n % 5}::{START + n * 200_000}\n" for n in range(120))
    (raw / "ratings.dat").write_bytes(ratings_dat if ratings_dat is not None else lines.encode())
    text = "10::Misérables, Les (1995)::Drama|Musical\n11::2001: A Space (Odyssey) (1968)::Drama\n"
    (raw / "movies.dat").write_bytes(movies if movies is not None else text.encode("latin-1"))
    return raw


def ml1m(**changes: Any) -> Ml1mSource:
    """Months 1 to 3, 4 to 5, 6 to 8, unless `changes` says otherwise."""
    months = {"train": (1, 3), "valid": (4, 5), "test": (6, 8)}
    ranges = {split: {"first": first, "last": last} for split, (first, last) in months.items()}
    split = {"rule": "months", **ranges, **{name: changes.pop(name) for name in months if name in changes}}
    return Ml1mSource.model_validate({"reader": "ml1m", "split": split, **changes})


def prep_ml1m(root: Path, max_bad_rows: float = 0.05, **changes: Any) -> dict[str, Any]:
    """Run the stage on `root`'s ml1m."""
    return prepare(Layout("ml1m", root), ml1m(**changes), Prep(max_bad_rows=max_bad_rows))
