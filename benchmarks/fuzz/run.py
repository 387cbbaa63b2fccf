"""The run of the fuzzer as a command: all readers in turn, totals as it goes, failing inputs kept."""

from __future__ import annotations

import faulthandler
import logging
import os
import platform
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from datetime import date
from pathlib import Path

from fuzz.cases import READERS, Case
from fuzz.check import check
from fuzz.drive import drive

INPUTS, SEED = 20_000, 7
ROUND = 500
"""Inputs between two lines of progress."""
SECONDS = 120
"""After these an input counts as hanging; all threads' stacks are shown and the process ends."""
SHOWN = 3
"""Failing inputs of one kind that are kept."""


class Run:
    """Inputs so far and how they ended.

    Args:
        place: folder for the inputs, one at a time.
        failures: folder for those that fail.
    """

    def __init__(self, place: Path, failures: Path) -> None:
        self._place, self._failures = place, failures
        self.table: dict[str, Counter[str]] = {reader: Counter() for reader in READERS}
        self.kinds: Counter[str] = Counter()

    def act(self, case: Case) -> None:
        """Try one input."""
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            ended = check(case, self._place)
        except Exception as error:
            ended, kind = "FAILED", _signature(error)
            self.kinds[kind] += 1
            if self.kinds[kind] <= SHOWN:
                number = list(self.kinds).index(kind) + 1
                _keep(case, self._failures / f"{number}-{case.reader}-{self.kinds[kind]}", error)
        finally:
            faulthandler.cancel_dump_traceback_later()
        self.table[case.reader][ended] += 1

    def total(self) -> Counter[str]:
        """How all readers' inputs ended."""
        return sum(self.table.values(), Counter())


def _keep(case: Case, folder: Path, error: BaseException) -> None:
    """Write a failing input where it can be looked at."""
    raw = folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for file in case.files:
        (raw / file.name).write_bytes(file.content)
    said = "".join(traceback.format_exception(error))
    (folder / "failure.txt").write_text(f"{case.source}\n{case.prep}\n\n{said}", errors="backslashreplace")


def _signature(error: BaseException) -> str:
    """What failures of one kind share."""
    first = re.sub(r"/\S*/raw(/\S+)?|[\d,]+", "_", (str(error).splitlines() or [""])[0])
    return f"{type(error).__name__}: {first[:90]}"


def main() -> int:
    """Print progress and the table; 1 where an input failed."""
    logging.disable()  # warnings about splits that leak
    inputs = int(sys.argv[1]) if len(sys.argv) > 1 else INPUTS
    number = int(sys.argv[2]) if len(sys.argv) > 2 else SEED
    failures = Path(tempfile.gettempdir()) / "fuzz_prep_failures"
    shutil.rmtree(failures, ignore_errors=True)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=memory) as place:
        run = Run(Path(place), failures)
        seeds = dict.fromkeys(READERS, number * inputs)
        seen: dict[str, set[int]] = {reader: set() for reader in READERS}
        while (left := inputs - run.total().total()) >= len(READERS):
            for reader in READERS:
                each = min(ROUND, left) // len(READERS)
                seeds[reader] = drive(reader, each, seeds[reader], seen[reader], run.act)
            ends = ", ".join(f"{name} {count}" for name, count in run.total().most_common())
            took = time.perf_counter() - start
            print(f"{run.total().total()} inputs in {took:.0f} s: {ends}", flush=True)
    _report(run, number, time.perf_counter() - start)
    if run.kinds:
        print(f"failing inputs: {failures}")
    return 1 if run.kinds else 0


def _report(run: Run, number: int, seconds: float) -> None:
    """Inputs per reader and how they ended."""
    where = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{date.today()}, {platform.machine()}, {where}, seed {number}, {seconds:.0f} s")
    ends = [name for name, _ in run.total().most_common()]
    print(f"| reader | inputs | {' | '.join(ends)} |\n|---|{'---|' * (len(ends) + 1)}")
    for reader, ended in {**run.table, "all": run.total()}.items():
        print(f"| {reader} | {ended.total()} | {' | '.join(str(ended[name]) for name in ends)} |")
    for kind, count in run.kinds.most_common():
        print(f"- {count} times {kind}")
