"""Seconds and peak memory of `prep` on a user's own CSV, compared with alternatives.

    python benchmarks/own_csv.py ML1M_FOLDER WORK [--rows 25000095] [--runs 3]
        [--lenskit PYTHON] [--recbole PYTHON]

MovieLens-1M is written as CSV into WORK, or, with --rows, a generated file of MovieLens-25M's shape (162,541
users, 59,047 items). Each run is a fresh process, including imports; contenders take turns; the table shows
median seconds and maximum memory.

* `ml1m`: our reader of MovieLens-1M's own format (with 1M only), which keeps 51,623 rows in its window.
* pandas: the same tables as a user would write them: no checks, no counts or quarantine of dropped rows.
* DuckDB: `read_csv` and count.
* LensKit and RecBole, if the Python of their environment is given: their own import of interactions, without
  splits, labels or quarantine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

GOALS = "Goals: MovieLens-1M at most 2 times `ml1m`; 25 million rows at most 50 s and 2 GB."
MEMORY = "2GB"
USERS, ITEMS, SEED = 162_541, 59_047, 7
CALL = """
import json, resource, sys, time
start = time.perf_counter()
sys.path.insert(0, sys.argv[1])
import own_csv
rows = getattr(own_csv, sys.argv[2])(own_csv.Path(sys.argv[3]), own_csv.Path(sys.argv[4]))
seconds = time.perf_counter() - start
print(json.dumps([rows, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6]))
"""


def with_prep(source: Path, work: Path) -> int:
    """Run the stage on the CSV as the command does."""
    from thinkrec.config.sections import Prep
    from thinkrec.config.sources import CustomSource
    from thinkrec.data.prepare import prepare
    from thinkrec.layout import Layout

    names = {"user": "userId", "item": "movieId", "rating": "rating", "timestamp": "timestamp"}
    section = CustomSource(reader="custom", raw=str(source.parent), ratings=source.name, items=None, **names)  # type: ignore[arg-type]
    facts = prepare(Layout("own", work), section, Prep(max_memory=MEMORY))
    return sum(part["rows"] for part in facts["splits"].values())


def with_ml1m(source: Path, work: Path) -> int:
    """Run the stage on MovieLens-1M's own files."""
    from thinkrec.config.sections import Prep
    from thinkrec.config.sources import Ml1mSource
    from thinkrec.data.prepare import prepare
    from thinkrec.layout import Layout

    facts = prepare(Layout("ml1m", work), Ml1mSource(reader="ml1m", raw=str(source)), Prep(max_memory=MEMORY))
    return sum(part["rows"] for part in facts["splits"].values())


def with_pandas(source: Path, work: Path) -> int:
    """Make the same tables in pandas: dense ids, last 30 % by time held out, positions, warm rows."""
    import pandas as pd

    rows = pd.read_csv(source).drop_duplicates(["userId", "movieId", "timestamp"])
    rows = rows.sort_values("timestamp", kind="stable").reset_index(drop=True)
    held_out = round(len(rows) * 0.3)
    rows["split"] = "train"
    rows.loc[len(rows) - held_out :, "split"] = "valid"
    rows.loc[len(rows) - held_out + held_out // 2 :, "split"] = "test"
    for column in ("userId", "movieId"):
        rows[column] = rows[column].rank(method="dense").astype("int32")
    rows["label"] = (rows["rating"] > 3).astype("int8")
    rows = rows.sort_values(["userId", "timestamp"], kind="stable")
    rows["position"] = rows.groupby("userId").cumcount()
    train = rows[rows["split"] == "train"]
    rows["not_cold"] = rows["userId"].isin(train["userId"]) & rows["movieId"].isin(train["movieId"])
    work.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(work / "interactions.parquet")
    return len(rows)


def with_duckdb(source: Path, work: Path) -> int:
    """Read all fields and count."""
    import duckdb

    query = "SELECT count(userId), sum(rating), max(timestamp), count(movieId) FROM read_csv(?)"
    return int(duckdb.execute(query, [str(source)]).fetchall()[0][0])


def with_lenskit(source: Path, work: Path) -> int:
    """Make LensKit's data set from a data frame."""
    import pandas as pd
    from lenskit.data import from_interactions_df

    rows = pd.read_csv(source).rename(columns={"userId": "user_id", "movieId": "item_id"})
    return int(from_interactions_df(rows).interaction_count)


def with_recbole(source: Path, work: Path) -> int:
    """Make RecBole's data set from an atomic file, which is written first."""
    from recbole.config import Config
    from recbole.data import create_dataset

    folder = source.parent / "recbole" / "own"
    settings = {"data_path": str(folder.parent), "use_gpu": False, "state": "ERROR", "RATING_FIELD": "rating",
                "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]}}  # fmt: skip
    return len(create_dataset(Config("BPR", "own", config_dict=settings)).inter_feat)


def write_ml1m(folder: Path, target: Path) -> None:
    """Write MovieLens-1M's ratings as CSV."""
    text = (folder / "ratings.dat").read_text(encoding="latin-1")
    target.write_text("userId,movieId,rating,timestamp\n" + text.replace("::", ","))


def write_generated(target: Path, rows: int) -> None:
    """Write a file of MovieLens-25M's shape: log-normal counts per user, items by 1 / rank^0.9."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv as pc

    rng = np.random.default_rng(SEED)
    weight = rng.lognormal(0, 1.2, USERS)
    user = np.sort(rng.choice(USERS, rows, p=weight / weight.sum())) + 1
    rank = 1 / np.arange(1, ITEMS + 1) ** 0.9
    item = rng.choice(ITEMS, rows, p=rank / rank.sum()) + 1
    begin = rng.integers(789_652_009, 1_564_327_703, USERS + 1)
    moment = begin[user] + rng.integers(0, 10_000_000, rows)
    table = pa.table({
        "userId": user, "movieId": item, "rating": rng.integers(1, 11, rows) / 2, "timestamp": moment
    })  # fmt: skip
    pc.write_csv(table, target)


def write_atomic(source: Path) -> None:
    """Write the CSV as RecBole's atomic file."""
    folder = source.parent / "recbole" / "own"
    folder.mkdir(parents=True, exist_ok=True)
    with source.open() as read, (folder / "own.inter").open("w") as file:
        next(read)
        file.write("user_id:token\titem_id:token\trating:float\ttimestamp:float\n")
        file.writelines(line.replace(",", "\t") for line in read)


def measured(python: str, name: str, source: Path, work: Path) -> tuple[int, float, float] | str:
    """Run in a fresh process; return rows, seconds and peak memory (MB), or its error."""
    command = [python, "-c", CALL, str(Path(__file__).parent), name, str(source), str(work / name)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        return process.stderr.strip().splitlines()[-1]
    rows, seconds, memory = json.loads(process.stdout.splitlines()[-1])
    return rows, seconds, memory


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--lenskit")
    parser.add_argument("--recbole")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    source = (given.work / ("generated.csv" if given.rows else "ml1m.csv")).resolve()
    if not source.exists():
        write_generated(source, given.rows) if given.rows else write_ml1m(given.folder, source)
    contenders: dict[str, tuple[str, str, Path]] = {"prep, own CSV": (sys.executable, "with_prep", source)}
    if not given.rows:
        contenders["prep, ml1m"] = (sys.executable, "with_ml1m", given.folder.resolve())
    contenders["pandas"] = (sys.executable, "with_pandas", source)
    contenders["DuckDB, counting"] = (sys.executable, "with_duckdb", source)
    if given.lenskit:
        contenders["LensKit's import"] = (given.lenskit, "with_lenskit", source)
    if given.recbole:
        write_atomic(source)
        contenders["RecBole's import"] = (given.recbole, "with_recbole", source)
    results: dict[str, list[Any]] = {title: [] for title in contenders}
    for _ in range(given.runs):
        for title, (python, name, path) in contenders.items():
            results[title].append(measured(python, name, path, given.work))
    size = source.stat().st_size / 1e6
    machine = f"{platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores"
    print(f"{date.today()}, {machine}, load {os.getloadavg()[0]:.1f}, medians of {given.runs} runs")
    print(f"{source.name}, {size:.0f} MB. {GOALS}")
    print("| | rows | seconds | times | peak memory, MB |\n|---|---|---|---|---|")
    ours = statistics.median(run[1] for run in results["prep, own CSV"])
    for title, runs in results.items():
        if isinstance(runs[0], str):
            print(f"| {title} | fails: {runs[0]} | | | |")
            continue
        seconds = statistics.median(run[1] for run in runs)
        memory = max(run[2] for run in runs)
        print(f"| {title} | {runs[0][0]:,} | {seconds:.2f} | {seconds / ours:.2f} | {memory:.0f} |")


if __name__ == "__main__":
    main()
