"""`prep` beside the same rules in pandas, on drawn files: rows, order, labels, splits and warm rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prep_raw import stored

from thinkrec.config.sections import Prep
from thinkrec.config.sources import CustomSource
from thinkrec.data.prepare import prepare
from thinkrec.layout import Layout

pd = pytest.importorskip("pandas")
PER_UNIT = {"seconds": 10**9, "milliseconds": 10**6, "microseconds": 1000, "nanoseconds": 1}
RULES: list[dict[str, Any]] = [
    {"rule": "share", "valid": 0.15, "test": 0.15},
    {"rule": "share", "valid": 0.07, "test": 0.31},
    {"rule": "leave_one_out"},
    {"rule": "date", "train_until": "2020-09-25"},
]


def drawn(rng: np.random.Generator, unit: str) -> Any:
    """Ratings of 40 days, many at the same moment, some at the threshold of a like."""
    rows = int(rng.integers(500, 3000))
    span = 40 * 86_400 * 10**9 // PER_UNIT[unit]
    moments = rng.integers(0, span, rows // 2)
    return pd.DataFrame({
        "user": rng.integers(1, 40, rows).astype(str), "item": [f"i{n}" for n in rng.integers(0, 30, rows)],
        "rating": rng.choice([1, 2.5, 3.7, 3.70001, 5], rows),
        "timestamp": 1_600_000_000 * 10**9 // PER_UNIT[unit] + rng.choice(moments, rows),
    })  # fmt: skip


def by_pandas(rows: Any, source: CustomSource) -> list[tuple[Any, ...]]:
    rows = rows.assign(ns=rows["timestamp"] * PER_UNIT[source.time], line=range(len(rows)))
    if source.first_day and source.last_day:
        start, stop = pd.Timestamp(source.first_day), pd.Timestamp(source.last_day) + pd.Timedelta(days=1)
        rows = rows[(rows.ns >= start.as_unit("ns").value) & (rows.ns < stop.as_unit("ns").value)]
    if source.repeated == "drop":
        rows = rows.drop_duplicates(["user", "item", "ns"])
    users, items = rows.user.value_counts(), rows.item.value_counts()
    rows = rows[
        rows.user.map(users).ge(source.min_interactions) & rows.item.map(items).ge(source.min_interactions)
    ]
    rows = rows.sort_values(["ns", "line"]).reset_index(drop=True).assign(split="train")
    split: Any = source.split
    if split.rule == "leave_one_out":
        back = rows.groupby("user").cumcount(ascending=False)
        many = rows.groupby("user")["ns"].transform("size") >= 3
        rows.loc[many & (back == 0), "split"], rows.loc[many & (back == 1), "split"] = "test", "valid"
    else:
        if split.rule == "date":
            until = pd.Timestamp(split.train_until) + pd.Timedelta(days=1)
            held = int((rows.ns >= until.as_unit("ns").value).sum())
            valid = held // 2
        else:
            held = int(np.floor(len(rows) * (split.valid + split.test) + 0.5))
            valid = int(np.floor(held * (split.valid / (split.valid + split.test))))
        rows.loc[len(rows) - held :, "split"] = "valid"
        rows.loc[len(rows) - held + valid :, "split"] = "test"
    rows["position"] = rows.groupby("user").cumcount()
    train = rows[rows.split == "train"]
    warm = rows.user.isin(train.user) & rows.item.isin(train.item)
    columns = (
        rows.user,
        rows.position,
        rows.item,
        rows.rating > source.positive_above,
        rows.ns,
        rows.split,
        warm,
    )
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("seed", range(8))
def test_the_tables_are_those_of_pandas(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    unit, ending = list(PER_UNIT)[seed % 4], ["csv", "csv.zst", "tsv", "parquet"][seed // 2]
    rows = drawn(rng, unit)
    path = tmp_path / "raw" / f"r.{ending}"
    path.parent.mkdir()
    if ending == "parquet":
        rows.to_parquet(path, row_group_size=100)
    else:
        data = rows.to_csv(index=False, sep="\t" if ending == "tsv" else ",", quoting=seed % 3).encode()
        packed = ending.endswith(".zst")
        path.write_bytes(pa.Codec("zstd").compress(data, asbytes=True) if packed else data)
    days = {"first_day": "2020-09-15", "last_day": "2020-10-10"} if seed % 3 == 0 else {}
    source = CustomSource.model_validate({
        "reader": "custom", "raw": "raw", "ratings": path.name, "items": None, "time": unit,
        "positive_above": 3.7, "min_interactions": 1 + 5 * (seed % 2),
        "repeated": ["drop", "keep"][seed % 5 == 0], "split": RULES[seed // 2 % 4], **days,
    })  # fmt: skip
    layout = Layout("mine", tmp_path)
    prepare(layout, source, Prep(max_bad_rows=1.0))
    users = {row["user_id"]: row["raw_id"] for row in pq.read_table(layout.users).to_pylist()}
    items = {row["item_id"]: row["raw_id"] for row in pq.read_table(layout.items).to_pylist()}
    found = stored(layout)
    assert [(row["user_id"], row["position"]) for row in found] == sorted(
        (row["user_id"], row["position"]) for row in found
    )
    assert sorted(
        (users[row["user_id"]], row["position"], items[row["item_id"]], bool(row["label"]), row["timestamp"],
         row["split"], row["not_cold"])
        for row in found
    ) == by_pandas(rows, source)  # fmt: skip


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_moments_of_parquet_in_all_units(tmp_path: Path, unit: str, zone: str | None) -> None:
    fraction = {"s": 0, "ms": 250_000_000, "us": 250_001_000, "ns": 250_001_001}[unit]
    moments = [(1_600_000_000 + 60 * n) * 10**9 + fraction for n in range(60)]
    table = pa.table({
        "user": [f"u{n % 5}" for n in range(60)], "item": [f"i{n % 7}" for n in range(60)],
        "rating": [1 + n % 5 for n in range(60)],
        "timestamp": pa.array(moments, pa.timestamp("ns", zone)).cast(pa.timestamp(unit, zone)),
    })  # fmt: skip
    (tmp_path / "raw").mkdir()
    pq.write_table(table, tmp_path / "raw" / "r.parquet")
    source = CustomSource(reader="custom", raw="raw", ratings="r.parquet", items=None, time="text")
    layout = Layout("mine", tmp_path)
    prepare(layout, source, Prep())
    assert sorted(row["timestamp"] for row in stored(layout)) == moments
