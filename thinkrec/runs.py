"""Run records of stages (seconds, memory, processor, versions, commit, seed), and reading of curves."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import logging
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NotRequired, TypeVar

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # typing's is too old for pydantic before Python 3.12

from thinkrec.errors import DataError
from thinkrec.files import kind_of, write_json
from thinkrec.layout import Layout

log = logging.getLogger(__name__)
_PACKAGES = ("thinkrec", "torch", "transformers", "peft", "trl", "scikit-learn", "duckdb", "numpy")


def versions() -> dict[str, str]:
    """Return versions of the packages that results depend on."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def commit() -> str:
    """Return the commit, with `-dirty` if tracked files have changed, or `none` outside git."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "none"
    return result.stdout.strip()


def peak_memory_mb() -> float:
    """Return the peak resident memory of this process in MB (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)


def device_facts() -> dict[str, Any]:
    """Return the models' device and the peak GPU memory of this process in MB (None on a CPU)."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {"device": f"cpu ({platform.machine()})", "peak_gpu_memory_mb": None}
    peak = round(torch.cuda.max_memory_allocated() / 1e6, 1)
    return {"device": torch.cuda.get_device_name(), "peak_gpu_memory_mb": peak}


def processor() -> str:
    """Return the name of the processor's model; of the architecture alone where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def threads() -> int:
    """Return how many threads torch computes with where it was imported, else the processors at hand."""
    if torch := sys.modules.get("torch"):
        return int(torch.get_num_threads())
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS


T = TypeVar("T")
Rows = list[dict[str, str]]


class Record(TypedDict):
    """Fields of a run record."""

    stage: str
    seed: int
    seconds: float
    peak_memory_mb: float
    peak_gpu_memory_mb: float | None
    device: str
    processor: NotRequired[str]
    threads: NotRequired[int]
    commit: str
    facts: dict[str, Any]


def read_record(layout: Layout, stage: str) -> Record | None:
    """Read the run record of a stage; None if there is none.

    Raises:
        DataError: the file is damaged; names the command that makes it again.
    """
    path = layout.record(stage)
    text = _text(layout, stage, path)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(layout, stage, path, "it is not JSON") from error
    record = _validated(layout, stage, value, Record)
    if record["stage"] != layout.own(stage):
        raise _damaged(layout, stage, path, f"it is of `thinkrec {record['stage']}`")
    return record


def read_facts(layout: Layout, stage: str, kind: type[T]) -> T | None:
    """Read facts from a stage's run record; None if there is no record.

    Args:
        layout: of the data set.
        stage: its name.
        kind: a TypedDict of the facts.

    Raises:
        DataError: the record is damaged, or lacks them; names the command that makes it again.
    """
    record = read_record(layout, stage)
    return None if record is None else _validated(layout, stage, record["facts"], kind)


def _validated(layout: Layout, stage: str, value: Any, kind: type[T]) -> T:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "all of it"
        raise _damaged(layout, stage, layout.record(stage), f"{where}: {first['msg']}") from None


def read_curve(layout: Layout, stage: str) -> Rows:
    """Read the training curve of a stage, written by `write_curve`; no rows if there is none.

    Returns:
        Rows of model, epoch or step (an integer), series, value (a number).

    Raises:
        DataError: the file is damaged; names the command that makes it again.
    """
    path = layout.curve(stage)
    text = _text(layout, stage, path)
    if text is None:
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        for row in rows:
            int(row["epoch" if "epoch" in row else "step"])
            float(row["value"])
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise _damaged(layout, stage, path, "it is not a curve") from error
    if any(set(row) - {"epoch", "step"} != {"model", "series", "value"} for row in rows):
        raise _damaged(layout, stage, path, "it is not a curve")
    return rows


def _text(layout: Layout, stage: str, path: Path) -> str | None:
    if not path.exists():
        return None
    if not path.is_file():  # reading a pipe would hang
        raise _damaged(layout, stage, path, f"it is {kind_of(path.stat().st_mode)}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _damaged(layout, stage, path, "it is not text") from error
    except OSError as error:
        raise _damaged(layout, stage, path, str(error.strerror).lower()) from error


def _damaged(layout: Layout, stage: str, path: Path, why: str) -> DataError:
    return DataError(
        f"{path} is not what `thinkrec {stage}` wrote ({why}): run `{layout.command(stage)}` again"
    )


@contextmanager
def recorded(layout: Layout, stage: str, seed: int) -> Iterator[dict[str, Any]]:
    """Measure the block and write `reports/D/run/<stage>.json` if it succeeds.

    Yields:
        A dict for facts to store in the record (counts, choices).
    """
    facts: dict[str, Any] = {}
    start = time.perf_counter()
    yield facts
    seconds = time.perf_counter() - start
    write_json(
        layout.record(stage),
        {
            "stage": layout.own(stage),
            "dataset": layout.dataset,
            "seed": seed,
            "seconds": round(seconds, 2),
            "peak_memory_mb": peak_memory_mb(),
            **device_facts(),
            "processor": processor(),
            "threads": threads(),
            "python": platform.python_version(),
            "versions": versions(),
            "commit": commit(),
            "facts": facts,
        },
    )
    log.info(
        "%s of %s: %.1f s, peak memory %.0f MB", layout.own(stage), layout.dataset, seconds, peak_memory_mb()
    )
