"""Seconds and peak memory of `prep` on MovieLens-1M, compared with the same tables made in pandas.

Each run is a fresh process, including imports; both take turns; the table shows medians.

    python benchmarks/prep.py [folder of MovieLens-1M] [runs]
"""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "ml-1m"
MEASURE = """
import resource, sys, time
start = time.perf_counter()
sys.path.insert(0, {here!r})
import prep
rows = prep.{name}(prep.Path({raw!r}), prep.Path({out!r}))
print(*rows, time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)
"""
GOAL = {"seconds": 1.5, "memory_mb": 400.0}


def with_stage(raw: Path, out: Path) -> list[int]:
    """Run the stage as the command does; return the rows of the three splits."""
    from thinkrec.config.sections import Prep
    from thinkrec.config.sources import Ml1mSource
    from thinkrec.data.prepare import prepare
    from thinkrec.layout import Layout

    facts = prepare(Layout("ml1m", out), Ml1mSource(reader="ml1m", raw=str(raw)), Prep())
    return [facts["splits"][name]["rows"] for name in ("train", "valid", "test")]


def with_pandas(raw: Path, out: Path) -> list[int]:
    """Make the same tables in pandas, with no checks beyond types and no quarantine."""
    import pandas as pd

    names = ["user", "item", "rating", "timestamp"]
    rows = pd.read_csv(raw / "ratings.dat", sep="::", engine="python", names=names, encoding="latin-1")
    rows = rows.drop_duplicates(["user", "item", "timestamp"])
    when = pd.to_datetime(rows["timestamp"], unit="s")
    month = when.dt.year * 12 + when.dt.month
    month -= month.min()
    rows["split"] = pd.cut(month, [13, 23, 28, 33], labels=["train", "valid", "test"]).astype("object")
    rows = rows[rows["split"].notna()].sort_values(["user", "timestamp"], kind="stable")
    movies = pd.read_csv(
        raw / "movies.dat", sep="::", engine="python", names=["item", "title", "genres"], encoding="latin-1"
    )
    rows = rows[rows["item"].isin(movies["item"])]
    rows["label"] = (rows["rating"] > 3).astype("int8")
    rows["position"] = rows.groupby("user").cumcount()
    train = rows[rows["split"] == "train"]
    rows["not_cold"] = rows["user"].isin(train["user"]) & rows["item"].isin(train["item"])
    movies = movies[movies["item"].isin(rows["item"])].copy()
    movies["title"] = movies["title"].str.replace(r"\s*\(\d{4}\)\s*$", "", regex=True)
    movies["categories"] = movies["genres"].str.split("|")
    for column in ("user", "item"):
        ids = {raw_id: number for number, raw_id in enumerate(sorted(rows[column].unique()), 1)}
        rows[f"{column}_id"] = rows[column].map(ids)
    out.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(out / "interactions.parquet")
    movies.to_parquet(out / "items.parquet")
    return [int((rows["split"] == name).sum()) for name in ("train", "valid", "test")]


def measured(name: str, raw: Path) -> tuple[list[int], float, float]:
    """Run in a fresh process; return rows, seconds and peak memory (MB)."""
    with tempfile.TemporaryDirectory() as out:
        code = MEASURE.format(here=str(Path(__file__).parent), name=name, raw=str(raw), out=out)
        process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *rows, seconds, memory = process.stdout.split()
    return [int(count) for count in rows], float(seconds), float(memory)


def main() -> None:
    """Print the table."""
    raw = Path(sys.argv[1] if len(sys.argv) > 1 else DEFAULT).resolve()
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    names = {"with_stage": "thinkrec prep", "with_pandas": "pandas"}
    results = [{name: measured(name, raw) for name in names} for _ in range(runs)]
    rows = {tuple(one[name][0]) for one in results for name in names}
    assert rows == {(33_891, 10_401, 7_331)}, rows
    versions = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{datetime.date.today()}, {platform.machine()}, {versions}, median of {runs} fresh processes")
    seconds = {name: statistics.median(one[name][1] for one in results) for name in names}
    memory = {name: statistics.median(one[name][2] for one in results) for name in names}
    print("| | seconds | times | peak memory, MB | times |\n|---|---|---|---|---|")
    for name, title in names.items():
        ratios = seconds[name] / seconds["with_stage"], memory[name] / memory["with_stage"]
        print(f"| {title} | {seconds[name]:.2f} | {ratios[0]:.1f} | {memory[name]:.0f} | {ratios[1]:.1f} |")
    print(f"| goal | {GOAL['seconds']} | | {GOAL['memory_mb']:.0f} | |")


if __name__ == "__main__":
    main()
