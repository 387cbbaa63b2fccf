"""Locks: one run of a stage and data set at a time; the system frees a lock when its process dies."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from thinkrec.artifacts.manifest import path_of
from thinkrec.errors import BusyError
from thinkrec.files import Batch, check_regular_file, remove, storage_errors
from thinkrec.layout import Layout
from thinkrec.pipeline import STAGES

log = logging.getLogger(__name__)
_UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
_TIMEOUT = 60.0
"""Seconds to wait for another process that is moving its outputs into place (our choice)."""


def _try_lock(file: int) -> bool:
    """Take a lock if it is free."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        log.warning("this file system has no locks: never run a stage of a data set twice at once")
    return True


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        check_regular_file(path)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield file
    finally:
        os.close(file)


@contextmanager
def locked(layout: Layout, stage: str) -> Iterator[None]:
    """Hold the lock of a stage.

    Raises:
        BusyError: another process holds it; names the process.
    """
    path = layout.lock(stage)
    with _opened(path) as file:
        if not _try_lock(file):
            raise BusyError(
                f"`thinkrec {stage} --dataset {layout.dataset}` is running already{_holder(file)}"
            )
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        holder = {"process": os.getpid(), "machine": socket.gethostname(), "since": now}
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(holder).encode(), 0)
        yield


def _holder(file: int) -> str:
    try:
        holder = json.loads(os.pread(file, 4096, 0))
        who = f" as process {holder['process']} on {holder['machine']}, since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        who = ""
    return f"{who}: wait until it has ended, or stop it"


def _journals(folder: Path) -> list[Path]:
    """List the journals; none if the folder can't be read, which readers of the artifacts report."""
    try:
        return sorted(folder.glob("*.json"))
    except OSError:
        return []


def finish_pending(layout: Layout, own: str = "") -> None:
    """Finish moving outputs into place for killed runs.

    Args:
        layout: of the data set.
        own: the stage whose lock this process holds.

    Raises:
        BusyError: another process has been moving its outputs into place for a minute.
        StorageError: the disk is not writable.
    """
    until = time.monotonic() + _TIMEOUT
    for journal in _journals(layout.journal("x").parent):
        stage = journal.stem
        with _opened(layout.lock(stage)) as file:
            while journal.exists():
                if stage == own or _try_lock(file):
                    _finish(layout, journal)
                elif time.monotonic() > until:
                    raise BusyError(
                        f"`thinkrec {stage} --dataset {layout.dataset}` is putting its outputs in place"
                        + _holder(file)
                    )
                else:
                    time.sleep(0.02)


def batch_of(layout: Layout, stage: str) -> Batch:
    """Return the batch of a stage's outputs."""
    outputs = [path_of(layout, each) for each in STAGES[stage].made]
    outputs += [layout.manifest(stage), layout.record(stage)]
    return Batch(layout.root, outputs, layout.journal(stage), layout.work("any").parent)


def _finish(layout: Layout, journal: Path) -> None:
    try:
        if journal.stem not in STAGES:
            raise ValueError(f"{journal} is of no stage")
        batch_of(layout, journal.stem).put_in_place()
    except FileNotFoundError:  # another process did it
        return
    except ValueError:
        log.warning("%s is damaged and was removed; damaged artifacts will be named", journal)
        remove(journal)
