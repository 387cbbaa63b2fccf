"""Seconds and peak memory of `prep` on Amazon or Yelp files of any size, with lower bounds and pandas.

    python benchmarks/generated.py amazon FOLDER 1000000 60000
    python benchmarks/prep_at_size.py amazon FOLDER [--rules paper|all] [--beside none|duckdb|pandas|all]

Each run is a fresh process, including imports; contenders take turns; median seconds, maximum memory.

* Lower bounds: decompressing (or reading) the reviews, and DuckDB reading four of their fields and counting.
* pandas, twice: chunks, merge, groupby. It writes the same tables, which are compared row by row with ours,
  but neither counts nor keeps dropped rows, and makes no graph.
  - `read_json` in chunks of 100,000 rows, the obvious code. It fails at the first bad line, so it reads
    a copy without bad lines, whose making is not timed.
  - tuned: the standard library's `json` line by line, in chunks of 50,000. `read_json` in its best chunks
    (10,000 rows) takes as long, and more memory.
  The rest is the same, and tuned: texts are joined by merge (`isin` loops over them in pandas 3), and only
  those of kept items are cleaned.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

GOAL = (
    "Goal: prep at most 10 s a million reviews, within prep.max_memory; pandas: at least 5 times the "
    "seconds and 3 times the memory."
)
CALL = """
import json, sys
sys.path.insert(0, sys.argv[1])
import prep_at_size
print(json.dumps(getattr(prep_at_size, sys.argv[2])(**json.loads(sys.argv[3]))))
"""


@dataclass(frozen=True)
class Source:
    """Files of a source, their fields, and what `--rules paper` changes."""

    reader: str
    reviews: str
    fields: tuple[str, str, str, str]
    items: str
    texts: tuple[str, ...]
    paper: dict[str, Any] = field(default_factory=dict)


SOURCES = {
    "amazon": Source(
        "book",
        "Books.json",
        ("reviewerID", "asin", "overall", "unixReviewTime"),
        "meta_Books.json",
        ("asin", "title", "description", "category", "brand", "price"),
    ),
    # The generated reviews end in 2018, before the end of the paper's train; this day leaves the same
    # share of their span for valid and test as in the paper.
    "yelp": Source(
        "yelp",
        "yelp_academic_dataset_review.json",
        ("user_id", "business_id", "stars", "date"),
        "yelp_academic_dataset_business.json",
        ("business_id", "name", "categories", "attributes", "address"),
        {"split": {"rule": "date", "train_until": "2017-02-28"}},
    ),
}
ALL = {"first_day": None, "last_day": None, "min_interactions": 1, "split": {"rule": "share"}}
"""No window and no threshold: all usable rows pass all steps."""


def with_stage(source: str, folder: str, out: str, memory: str, rules: str, **_: Any) -> dict[str, Any]:
    """Run the stage as the command does."""
    from pydantic import TypeAdapter

    from thinkrec.config.sections import Prep
    from thinkrec.config.sources import Source as Section
    from thinkrec.data.prepare import prepare
    from thinkrec.layout import Layout

    changed = ALL if rules == "all" else SOURCES[source].paper
    section = TypeAdapter(Section).validate_python(
        {"reader": SOURCES[source].reader, "raw": folder, **changed}
    )
    return prepare(Layout(source, Path(out)), section, Prep(max_memory=memory, max_bad_rows=0.5))


def with_duckdb(reviews: str, source: str, out: str, memory: str, **_: Any) -> dict[str, Any]:
    """Read four fields and count them."""
    import duckdb

    fields = SOURCES[source].fields
    columns = ", ".join(f"{name}: 'VARCHAR'" for name in fields)
    counts = ", ".join(f"count({name})" for name in fields)
    with duckdb.connect(config={"memory_limit": memory, "temp_directory": f"{out}/spilled"}) as connection:
        connection.execute("SET enable_progress_bar = false")
        answer = connection.execute(
            f"SELECT count(*), {counts} FROM read_json(?, columns = {{{columns}}}, ignore_errors = true, "
            "format = 'newline_delimited')",
            [reviews],
        )
        return {"counts": answer.fetchone()}


def objects(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield lines that are JSON objects, and the objects."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            try:
                value = json.loads(line)
            except ValueError:  # not JSON, or not UTF-8
                continue
            if isinstance(value, dict):
                yield line, value


def parsed(path: Path, columns: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    """Yield chunks read by the standard library's JSON."""
    import pandas as pd

    rows = []
    for _, record in objects(path):
        rows.append([record.get(name) for name in columns])
        if len(rows) == 50_000:
            yield pd.DataFrame(rows, columns=columns)
            rows = []
    yield pd.DataFrame(rows, columns=columns)


def read(path: Path, columns: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    """Yield chunks read by pandas."""
    import pandas as pd

    for chunk in pd.read_json(path, lines=True, chunksize=100_000, dtype=False, convert_dates=False):
        yield chunk.reindex(columns=list(columns))


def with_pandas(
    source: str, folder: str, reviews: str, out: str, settings: dict[str, Any], reader: str, **_: Any
) -> dict[str, Any]:
    """Make the tables in pandas; `settings` as in params.yaml, `reader`: the function that reads JSON."""
    import pandas as pd

    kind, chunks = SOURCES[source], {"read": read, "parsed": parsed}[reader]
    chunks_read = chunks(Path(reviews), kind.fields)
    rows = pd.concat((_usable(chunk, settings) for chunk in chunks_read), ignore_index=True)
    listed, reviewed = chunks(file_in(folder, kind.items), kind.texts), rows[["item"]].drop_duplicates()
    items = pd.concat((_merged(chunk, reviewed) for chunk in listed), ignore_index=True)
    if source == "amazon":
        items = items[~items["title"].str.contains("getTime", na=False)]
    items = items.drop_duplicates("item", keep="last" if source == "amazon" else "first")
    rows = _split(
        _active(rows.merge(items[["item"]], on="item"), settings["min_interactions"]), settings["split"]
    )
    users = pd.DataFrame({"raw_id": rows["user"].drop_duplicates().sort_values()})
    items = items.merge(rows[["item"]].drop_duplicates(), on="item").sort_values("item", ignore_index=True)
    users["user_id"], items["item_id"] = range(1, len(users) + 1), range(1, len(items) + 1)
    tables = {
        "interactions": _numbered(rows, users, items, settings["positive_above"]),
        "items": {"amazon": _amazon_texts, "yelp": _yelp_texts}[source](items),
        "users": users[["user_id", "raw_id"]],
    }
    (data := Path(out, "data", source)).mkdir(parents=True)
    for name, table in tables.items():
        table.to_parquet(data / f"{name}.parquet", index=False, compression="zstd")
    return {"rows": len(rows)}


def _usable(chunk: pd.DataFrame, settings: dict[str, Any]) -> pd.DataFrame:
    """Select rows with all four values inside the window."""
    import pandas as pd

    chunk = chunk.set_axis(["user", "item", "rating", "timestamp"], axis=1).dropna()
    if not pd.api.types.is_numeric_dtype(chunk["timestamp"]):
        when = pd.to_datetime(chunk["timestamp"], errors="coerce", utc=True)
        chunk = chunk[when.notna()].assign(timestamp=when.dropna().dt.as_unit("s").astype("int64"))
    chunk = chunk.astype({"rating": "float32", "timestamp": "int64"})
    start = pd.Timestamp(settings["first_day"] or "1990-01-01").timestamp()
    stop = (pd.Timestamp(settings["last_day"] or "2099-12-31") + pd.Timedelta(days=1)).timestamp()
    inside = (chunk["timestamp"] >= start) & (chunk["timestamp"] < stop) & chunk["rating"].between(1, 5)
    return chunk[inside & (chunk["user"] != "") & (chunk["item"] != "")]


def _merged(chunk: pd.DataFrame, reviewed: pd.DataFrame) -> pd.DataFrame:
    """Select metadata of reviewed items; the first column is the id. (`isin` loops over texts in Python.)"""
    return chunk.rename(columns={chunk.columns[0]: "item"}).merge(reviewed, on="item")


def _active(rows: pd.DataFrame, min_count: int) -> pd.DataFrame:
    """Drop repeated rows, and users and items with fewer than `min_count` rows."""
    rows = rows.drop_duplicates(["user", "item", "timestamp"])
    users, items = (rows.groupby(name)["rating"].transform("size") for name in ("user", "item"))
    return rows[(users >= min_count) & (items >= min_count)]


def _split(rows: pd.DataFrame, split: dict[str, Any]) -> pd.DataFrame:
    """Split in order of time: the last rows are valid, then test."""
    import numpy as np
    import pandas as pd

    rows = rows.sort_values("timestamp", kind="stable")
    if split["rule"] == "date":
        until = (pd.Timestamp(split["train_until"]) + pd.Timedelta(days=1)).timestamp()
        held, part = int((rows["timestamp"] >= until).sum()), 0.5
    else:
        share = split["valid"] + split["test"]
        held, part = int(len(rows) * share + 0.5), split["valid"] / share
    valid = int(held * part)
    return rows.assign(split=np.repeat(["train", "valid", "test"], [len(rows) - held, valid, held - valid]))


def _numbered(
    rows: pd.DataFrame, users: pd.DataFrame, items: pd.DataFrame, positive_above: float
) -> pd.DataFrame:
    """Add dense ids, positions, labels and warm rows."""
    rows = rows.merge(users, left_on="user", right_on="raw_id").drop(columns=["user", "raw_id"])
    rows = rows.merge(items[["item", "item_id"]], on="item").drop(columns="item")
    rows = rows.sort_values(["user_id", "timestamp"], kind="stable")
    rows["position"] = rows.groupby("user_id").cumcount()
    rows["label"] = (rows["rating"] > positive_above).astype("int8")
    train = rows[rows["split"] == "train"]
    rows["not_cold"] = rows["user_id"].isin(train["user_id"]) & rows["item_id"].isin(train["item_id"])
    rows["timestamp"] = pd.to_datetime(rows["timestamp"], unit="s").dt.as_unit("ns")
    return rows[["user_id", "item_id", "label", "rating", "timestamp", "position", "split", "not_cold"]]


def _plain(texts: pd.Series) -> pd.Series:
    """Strip HTML."""
    texts = texts.astype("str").fillna("").str.replace(r"</?[A-Za-z!][^>]*>", " ", regex=True)
    entities = {"&nbsp;": " ", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&amp;": "&"}
    for entity, sign in entities.items():
        texts = texts.str.replace(entity, sign, regex=False)
    return texts.str.replace(r"\s+", " ", regex=True).str.strip()


def _plain_lists(lists: pd.Series) -> pd.Series:
    """Strip HTML and empty parts from lists; a loop, as is `groupby(...).agg(list)`."""
    parts = _plain(lists.explode())
    lists_by_row: dict[int, list[str]] = {row: [] for row in lists.index}
    for row, part in parts[parts != ""].items():
        lists_by_row[row].append(part)
    return lists.index.map(lists_by_row).to_series(index=lists.index)


def _amazon_texts(items: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    def levels(category: Any) -> list[str]:
        if not isinstance(category, list):
            return [category]
        return [name for part in category for name in (part if isinstance(part, list) else [part])][1:]

    price = _plain(items["price"])
    description = items["description"].map(lambda text: " ".join(text) if isinstance(text, list) else text)
    return pd.DataFrame(
        {
            "item_id": items["item_id"],
            "raw_id": items["item"],
            "title": _plain(items["title"]),
            "description": _plain(description),
            "categories": _plain_lists(items["category"].map(levels)),
            "brand": _plain(items["brand"]),
            "price": price.where(price.str.fullmatch(r"\$\d[\d,.]*( - \$\d[\d,.]*)?"), ""),
        }
    )


def _yelp_texts(items: pd.DataFrame) -> pd.DataFrame:
    import re

    import pandas as pd

    def spaced(attributes: Any) -> list[str]:
        if not isinstance(attributes, dict):
            return []
        names = [name for name, value in attributes.items() if str(value).lower() == "true"]
        return [re.sub("([a-z0-9])([A-Z])", r"\1 \2", name) for name in names]

    return pd.DataFrame(
        {
            "item_id": items["item_id"],
            "raw_id": items["item"],
            "title": _plain(items["name"]),
            "description": "",
            "categories": _plain_lists(items["categories"].str.split(",")),
            "attributes": items["attributes"].map(spaced),
            "address": _plain(items["address"]),
        }
    )


def count_differences(ours: str, theirs: str, source: str, **_: Any) -> dict[str, int]:
    """Count rows that only one of two folders has, per table."""
    import duckdb

    counts = {}
    for table in ("interactions", "items", "users"):
        one, two = (f"read_parquet('{out}/data/{source}/{table}.parquet')" for out in (ours, theirs))
        counts[table] = 0
        for left, right in ((one, two), (two, one)):
            query = f"SELECT count(*) FROM (FROM {left} EXCEPT ALL FROM {right})"
            counts[table] += duckdb.execute(query).fetchall()[0][0]
    return counts


@dataclass(frozen=True)
class Run:
    """A process's seconds, MB and output."""

    seconds: float
    memory: float
    spilled: float
    output: dict[str, Any]


@contextmanager
def watched(out: Path) -> Iterator[list[float]]:
    """Yield a list whose last entry is the peak size of DuckDB's spill files in `out`, in MB."""
    peaks, ended = [0.0], threading.Event()

    def poll() -> None:
        while not ended.wait(0.1):
            with suppress(OSError):  # removed meanwhile
                blocks = sum(path.stat().st_blocks for path in out.rglob("duckdb_temp*"))
                peaks.append(max(peaks[-1], blocks * 512 / 1e6))

    watcher = threading.Thread(target=poll, daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        ended.set()
        watcher.join()


def run(command: list[str], out: Path, quiet: bool = False) -> Run:
    """Run a command that writes to `out`, which is emptied first; `quiet`: it prints no JSON.

    The measured memory is at least that of this process (about 20 MB), so nothing large is imported here.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryFile() as stdout, watched(out) as spilled:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL if quiet else stdout)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)[:80]} ... ended with {process.returncode}")
        stdout.seek(0)
        answer = {} if quiet else json.loads(stdout.read().splitlines()[-1])
    return Run(seconds, usage.ru_maxrss * 1024 / 1e6, spilled[-1], answer)


def call(name: str, out: Path, **values: Any) -> Run:
    """Run a function of this file in a fresh Python."""
    here = str(Path(__file__).resolve().parent)
    return run([sys.executable, "-c", CALL, here, name, json.dumps({"out": str(out), **values})], out)


def file_in(folder: str | Path, name: str) -> Path:
    """Find a file, compressed or not."""
    packed = Path(folder, f"{name}.gz")
    return packed if packed.exists() else Path(folder, name)


def without_bad_lines(reviews: Path, copy: Path) -> Path:
    """Copy the lines that are JSON objects."""
    with gzip.open(copy, "wb", 6) if copy.suffix == ".gz" else copy.open("wb") as file:
        for line, _ in objects(reviews):
            file.write(line)
    return copy


def take_turns(options: argparse.Namespace, work: Path) -> dict[str, list[Run]]:
    """Run all contenders in turn."""
    source, folder = options.source, str(options.folder.resolve())
    reviews = file_in(folder, SOURCES[source].reviews)
    unpack = ["gzip", "-dc"] if reviews.suffix == ".gz" else ["cat"]
    values = {"source": source, "folder": folder, "reviews": str(reviews), "memory": options.memory}
    runs: dict[str, list[Run]] = {}

    def add(title: str, result: Run) -> Run:
        runs.setdefault(title, []).append(result)
        return result

    clean = ""
    if options.beside in ("pandas", "all"):
        clean = str(without_bad_lines(reviews, work / reviews.name))
    for _ in range(options.runs):
        if options.beside in ("duckdb", "all"):
            add(" ".join(unpack) + ", reviews", run([*unpack, str(reviews)], work / "floor", quiet=True))
            add("bare DuckDB, 4 fields of the reviews", call("with_duckdb", work / "floor", **values))
        ours = add("thinkrec prep", call("with_stage", work / "ours", **values, rules=options.rules))
        if clean:
            values["settings"] = ours.output["settings"]
            add("pandas, tuned", call("with_pandas", work / "theirs", **values, reader="parsed"))
            agree(work, source)
            read_json = {**values, "reviews": clean, "reader": "read"}
            add("pandas, read_json", call("with_pandas", work / "theirs", **read_json))
            agree(work, source)
            del values["settings"]
    return runs


def agree(work: Path, source: str) -> None:
    """Exit unless pandas made the same tables as the stage."""
    folders = {"ours": str(work / "ours"), "theirs": str(work / "theirs")}
    counts = call("differing", work / "compared", **folders, source=source).output
    if any(counts.values()):
        raise SystemExit(f"pandas and thinkrec disagree; rows that only one of them has: {counts}")


def show(options: argparse.Namespace, runs: dict[str, list[Run]], load: float) -> None:
    """Print the table; `load`: prior load of the machine."""
    facts = runs["thinkrec prep"][0].output
    files = [
        file_in(options.folder, name)
        for name in (SOURCES[options.source].reviews, SOURCES[options.source].items)
    ]
    given = [facts["files"][file.name]["given"] for file in files]
    splits = ", ".join(f"{name} {counts['rows']:,}" for name, counts in facts["splits"].items())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    versions = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "pandas", "pyarrow"))
    print(
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GB, "
        f"load {load:.1f}, Python {platform.python_version()}, {versions}; "
        f"{options.runs} fresh processes each\n"
    )
    for file, count in zip(files, given, strict=True):
        print(f"{file.name}: {count:,} rows, {file.stat().st_size / 1e6:,.1f} MB")
    print(
        f"Rules: {options.rules}; prep.max_memory {options.memory}; {splits}; "
        f"{facts['users']:,} users, {facts['items']:,} items\n"
    )
    print("| | seconds | s a million reviews | times ours | peak memory, MB | times ours | spilled, MB |")
    print("|---|---|---|---|---|---|---|")
    seconds = {
        title: statistics.median(result.seconds for result in results) for title, results in runs.items()
    }
    peak_memory = {title: max(result.memory for result in results) for title, results in runs.items()}
    for title, results in runs.items():
        spilled = max(result.spilled for result in results)
        print(
            f"| {title} | {seconds[title]:.2f} | {seconds[title] / given[0] * 1e6:.2f} | "
            f"{seconds[title] / seconds['thinkrec prep']:.2f} | {peak_memory[title]:,.0f} | "
            f"{peak_memory[title] / peak_memory['thinkrec prep']:.2f} | {spilled:,.0f} |"
        )
    print(f"\n{GOAL}")


def main() -> None:
    """Measure, then print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", choices=SOURCES)
    parser.add_argument("folder", type=Path, help="raw folder, as benchmarks/generated.py writes it")
    parser.add_argument(
        "--rules",
        choices=("paper", "all"),
        default="paper",
        help="the paper's window, threshold and split; or every usable row, the last 30 %% held out",
    )
    parser.add_argument("--beside", choices=("none", "duckdb", "pandas", "all"), default="all")
    parser.add_argument("--memory", default="2GB", help="prep.max_memory (default 2GB)")
    parser.add_argument("--runs", type=int, default=3, help="processes of each contender (default 3)")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as work:
        show(options, take_turns(options, Path(work)), load)


if __name__ == "__main__":
    main()
