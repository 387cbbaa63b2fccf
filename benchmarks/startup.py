"""Time `thinkrec --help` against an empty python and `dvc --help`.

Run: `python benchmarks/startup.py`. Wall time of processes after one warm-up call. Goal: below 0.3 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 10


def seconds(command: list[str]) -> list[float]:
    """Measure the wall time of RUNS calls."""
    times = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return times[1:]


def main() -> None:
    """Print a table of medians."""
    scripts = Path(sys.executable).parent
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "thinkrec --help": [str(scripts / "thinkrec"), "--help"],
        "thinkrec evaluate --help": [str(scripts / "thinkrec"), "evaluate", "--help"],
        "dvc --help": [str(scripts / "dvc"), "--help"],
    }
    print(f"| command | median of {RUNS} (s) | slowest (s) |\n|---|---|---|")
    for name, command in commands.items():
        times = seconds(command)
        print(f"| {name} | {statistics.median(times):.3f} | {max(times):.3f} |")


if __name__ == "__main__":
    main()
