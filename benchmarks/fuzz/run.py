"""The fuzzer as a command: all readers on all cores; prints totals and keeps failing inputs."""

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
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from multiprocessing import get_context
from pathlib import Path

from fuzz.cases import READERS, Case
from fuzz.check import check
from fuzz.drive import drive

INPUTS, SEED = 20_000, 7
TASK = 50
"""Inputs per task."""
SECONDS = 120
"""Time limit of an input, after which all stacks are printed and the process ends."""
EVERY = 60
"""Seconds between two lines of progress."""
KEPT_FAILURES = 3
"""Failing inputs kept per kind and task."""


@dataclass(frozen=True)
class Task:
    """Some inputs of one reader.

    Args:
        reader: its name.
        inputs: number of inputs.
        first_seed: of the first batch; tasks use disjoint seeds.
        failures: folder for failing inputs.
    """

    reader: str
    inputs: int
    first_seed: int
    failures: Path


def attempt(task: Task) -> tuple[str, Counter[str], Counter[str]]:
    """Try a task's inputs; return the reader, outcomes and kinds of failures."""
    logging.disable()  # warnings about splits that leak
    ended: Counter[str] = Counter()
    kinds: Counter[str] = Counter()

    def act(case: Case) -> None:
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            ended[check(case, Path(place))] += 1
        except Exception as error:
            kind = _signature(error)
            ended["FAILED"] += 1
            kinds[kind] += 1
            if kinds[kind] <= KEPT_FAILURES:
                name = f"{case.reader}-{task.first_seed}-{len(kinds)}-{kinds[kind]}"
                _keep(case, task.failures / name, error)
        finally:
            faulthandler.cancel_dump_traceback_later()

    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as place:
        drive(task.reader, task.inputs, task.first_seed, set(), act)
    return task.reader, ended, kinds


def _keep(case: Case, folder: Path, error: BaseException) -> None:
    """Save a failing input."""
    raw = folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for file in case.files:
        (raw / file.name).write_bytes(file.content)
    text = "".join(traceback.format_exception(error))
    (folder / "failure.txt").write_text(f"{case.source}\n{case.prep}\n\n{text}", errors="backslashreplace")


def _signature(error: BaseException) -> str:
    """Identify the kind of a failure."""
    first = re.sub(r"/\S*/raw(/\S+)?|[\d,]+", "_", (str(error).splitlines() or [""])[0])
    return f"{type(error).__name__}: {first[:90]}"


def main() -> int:
    """Print progress and the table; return 1 if an input failed."""
    inputs = int(sys.argv[1]) if len(sys.argv) > 1 else INPUTS
    number = int(sys.argv[2]) if len(sys.argv) > 2 else SEED
    failures = Path(tempfile.gettempdir()) / "fuzz_prep_failures"
    shutil.rmtree(failures, ignore_errors=True)
    rounds = -(-inputs // (TASK * len(READERS)))
    tasks = [
        Task(reader, TASK, (number * rounds + round_) * 10 * TASK, failures)
        for round_ in range(rounds)
        for reader in READERS
    ]
    table: dict[str, Counter[str]] = {reader: Counter() for reader in READERS}
    kinds: Counter[str] = Counter()
    start = reported = time.perf_counter()
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for reader, ended, failed in pool.map(attempt, tasks):
            table[reader] += ended
            kinds += failed
            if time.perf_counter() - reported > EVERY:
                reported = time.perf_counter()
                total = sum(table.values(), Counter())
                print(
                    f"{total.total()} inputs in {reported - start:.0f} s, {total['FAILED']} failed",
                    flush=True,
                )
    _report(table, kinds, number, time.perf_counter() - start)
    if kinds:
        print(f"failing inputs: {failures}")
    return 1 if kinds else 0


def _report(table: dict[str, Counter[str]], kinds: Counter[str], number: int, seconds: float) -> None:
    """Print inputs per reader and their outcomes."""
    where = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{date.today()}, {platform.machine()}, {where}, seed {number}, {seconds:.0f} s")
    total = sum(table.values(), Counter())
    ends = [name for name, _ in total.most_common()]
    print(f"| reader | inputs | {' | '.join(ends)} |\n|---|{'---|' * (len(ends) + 1)}")
    for reader, ended in {**table, "all": total}.items():
        print(f"| {reader} | {ended.total()} | {' | '.join(str(ended[name]) for name in ends)} |")
    for kind, count in kinds.most_common():
        print(f"- {count} times {kind}")
