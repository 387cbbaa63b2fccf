"""`prep`, `stats` and the agent's graph read the very file that is named, whatever signs its path has."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prep_raw import START, prep_demo, ratings, write_demo

from thinkrec.agent.knowledge import load_graph
from thinkrec.config.sections import Prep
from thinkrec.config.sources import CustomSource, DemoSource
from thinkrec.data.prepare import prepare
from thinkrec.errors import DataError
from thinkrec.layout import Layout
from thinkrec.stages.stats import statistics

COLUMNS = ("user", "item", "rating", "timestamp")


def table(user: str) -> list[dict[str, Any]]:
    rows = [(f"{user}{n % 3}", f"i{n % 7}", 1 + n % 5, START + 60 * n) for n in range(40)]
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def put(path: Path, user: str) -> None:
    """A table of this user's rows, in the format of the file's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(table(user)), path)
        return
    text = io.StringIO()
    if ".csv" in path.name:
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(table(user))
    elif path.name.endswith("array.json"):
        json.dump(table(user), text)
    else:
        text.writelines(json.dumps(row) + "\n" for row in table(user))
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def users(root: Path, raw: str, **changes: Any) -> set[str]:
    """Users whose rows were read, without their numbers."""
    source = CustomSource.model_validate({"reader": "custom", "raw": raw, "items": None, **changes})
    layout = Layout("mine", root)
    prepare(layout, source, Prep())
    return {name[:-1] for name in pq.read_table(layout.users)["raw_id"].to_pylist()}


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".csv.gz", ".jsonl", ".json.gz", " array.json"])
@pytest.mark.parametrize(
    ("name", "decoy"),
    [("[r]", "r"), ("a*b", "aab"), ("a?", "ab"), ("[!x]", "y"), ("o'q", "oq"), ("a]b", "ab"), ("**", "c"),
     ("{a,b}", "a"), ("~", "a"), ("-", "a"), ("$HOME;--", "a")],
)  # fmt: skip
def test_the_file_of_that_name(tmp_path: Path, ending: str, name: str, decoy: str) -> None:
    for folder in ("raw", "raw[1]", "raw1"):
        put(tmp_path / folder / f"{decoy}{ending}", "wrong")
    put(tmp_path / "raw" / f"{name}{ending}", "right")
    assert users(tmp_path, "raw", ratings=f"{name}{ending}") == {"right"}
    put(tmp_path / "raw[1]" / f"{name}{ending}", "right")
    assert users(tmp_path, "raw[1]", ratings=f"{name}{ending}") == {"right"}


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl", " array.json"])
def test_a_folder_is_no_column(tmp_path: Path, ending: str) -> None:
    put(tmp_path / "user=HIVE" / "item=i9" / f"r{ending}", "right")
    assert users(tmp_path, "user=HIVE/item=i9", ratings=f"r{ending}") == {"right"}
    assert pq.read_metadata(Layout("mine", tmp_path).items).num_rows == 7


def test_a_name_that_can_not_be_read(tmp_path: Path) -> None:
    put(tmp_path / "raw\\a" / "b.parquet", "right")
    assert users(tmp_path, "raw\\a", ratings="b.parquet") == {"right"}
    put(tmp_path / "raw\\a" / "[b].parquet", "right")
    with pytest.raises(DataError, match=r"has a backslash and one of \*\?\[: rename it$"):
        users(tmp_path, "raw\\a", ratings="[b].parquet")


def test_columns_of_parquet_that_differ_by_case(tmp_path: Path) -> None:
    rows = [{**row, "User": f"wrong{n}"} for n, row in enumerate(table("right"))]
    (tmp_path / "raw").mkdir()
    names = ["User", *COLUMNS]
    pq.write_table(pa.Table.from_pylist(rows).select(names), tmp_path / "raw" / "r.parquet")
    assert users(tmp_path, "raw", ratings="r.parquet") == {"right"}
    with pytest.raises(DataError, match=r"no column `USER`; it has User, user, item, rating, timestamp$"):
        users(tmp_path, "raw", ratings="r.parquet", user="USER")


@pytest.mark.parametrize("name", ["count", "plain", "f", "v", "line", "reason", "select", 'a"b', "its user"])
def test_columns_called_like_something_else(tmp_path: Path, name: str) -> None:
    rows = [{name: row["user"], **{key: row[key] for key in COLUMNS[1:]}} for row in table("right")]
    (tmp_path / "raw").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "raw" / "r.parquet")
    (tmp_path / "raw" / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for file in ("r.parquet", "r.jsonl"):
        assert users(tmp_path, "raw", ratings=file, user=name) == {"right"}


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    os.mkfifo(tmp_path / "raw" / "ratings.csv")
    with pytest.raises(DataError, match=r"raw/ratings\.csv is a pipe, not a file: put the raw file there$"):
        users(tmp_path, "raw")


def test_prepared_tables_below_odd_folders(tmp_path: Path) -> None:
    """`user_id=5` would give every row that user, and `[p]` would be the folder p."""
    found = []
    for name in ("usual", "user_id=5", "[p]"):
        root = tmp_path / name
        write_demo(root, ratings())
        prep_demo(root)
        layout = Layout("demo", root)
        keywords = root / "keywords.parquet"
        pq.write_table(pa.table({"item_id": [1], "keywords": [["word"]]}), keywords)
        graph = load_graph(layout.graph, keywords, 7)
        found.append((statistics(layout, DemoSource(reader="demo"))["parts"], graph.names))
    assert found[0] == found[1] == found[2]
