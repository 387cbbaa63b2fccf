"""Time and memory of the whole pipeline: `dvc repro` in a clean copy, then again without changes.

    python benchmarks/pipeline.py                          the embedded data set
    python benchmarks/pipeline.py ml1m ../shared/data/ml-1m   MovieLens-1M, its raw folder named
    python benchmarks/pipeline.py ml1m FOLDER --keep DIR    keep the copy, reports and all, in DIR

The copy has the committed files; `thinkrec` is the one installed in this environment.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def prepare(copy: Path, dataset: str, raw: Path | None) -> None:
    """Clone the checkout to `copy` and reduce params.yaml to one data set."""
    subprocess.run(["git", "clone", "--quiet", ".", str(copy)], check=True)
    if raw is None:
        return
    params = copy / "params.yaml"
    text = params.read_text(encoding="utf-8")
    start, end = text.index("datasets:\n"), text.index("\n# by data set, what")
    folder = os.path.relpath(raw, copy)
    entry = f"datasets:\n  {dataset}:\n    reader: {dataset}\n    raw: {folder}\n    watch: {folder}\n"
    params.write_text(text[:start] + entry + text[end:], encoding="utf-8")


def repro(copy: Path) -> float:
    """Run `dvc repro` in `copy`; return its seconds."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=copy, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", nargs="?", default="demo")
    parser.add_argument("raw", nargs="?", type=Path, help="raw folder; not for demo")
    parser.add_argument("--keep", type=Path, help="where to leave the copy")
    options = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as temporary:
        copy = (options.keep or Path(temporary) / "copy").absolute()
        prepare(copy, options.dataset, options.raw and options.raw.absolute())
        first, second = repro(copy), repro(copy)
        records = sorted((copy / "reports" / options.dataset / "run").glob("*.json"))
        stages = sorted(
            (json.loads(path.read_text()) for path in records), key=lambda record: record["stage"]
        )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{datetime.date.today()}, {machine}")
    print(f"| {options.dataset} | seconds | peak memory, MB |\n|---|---|---|")
    for stage in stages:
        print(f"| {stage['stage']} | {stage['seconds']:.1f} | {stage['peak_memory_mb']:.0f} |")
    print(f"| `dvc repro` | {first:.1f} | {peak:.0f} (largest process) |")
    print(f"| `dvc repro`, nothing changed | {second:.2f} | |")


if __name__ == "__main__":
    main()
