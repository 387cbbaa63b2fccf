"""One run of a stage of a data set at a time; the system frees the lock when its process dies."""

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

from thinkrec.errors import BusyError
from thinkrec.files import Batch, check_regular_file, remove, storage_errors
from thinkrec.layout import Layout, path_of
from thinkrec.pipeline import STAGES
from thinkrec.variants import VARIANTS

log = logging.getLogger(__name__)
_WITHOUT = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
_PATIENCE = 60.0
"""Seconds to wait for another process that is putting its outputs in place (our choice)."""


def _taken(file: int) -> bool:
    """Take a lock if nobody holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _WITHOUT:
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
        BusyError: another process holds it; names that.
    """
    path = layout.lock(stage)
    with _opened(path) as file:
        if not _taken(file):
            raise BusyError(f"`{layout.command(stage)}` is running already{_holder(file)}")
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        said = {"process": os.getpid(), "machine": socket.gethostname(), "since": now}
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(said).encode(), 0)
        yield


def _holder(file: int) -> str:
    try:
        said = json.loads(os.pread(file, 4096, 0))
        who = f" as process {said['process']} on {said['machine']}, since {said['since']}"
    except (ValueError, KeyError, TypeError):
        who = ""
    return f"{who}: wait until it has ended, or stop it"


def _journals(folder: Path) -> list[Path]:
    """All journals; none where the folder can't be read, of which whoever reads the artifacts tells."""
    try:
        return sorted(folder.glob("*.json"))
    except OSError:
        return []


def finish_pending(layout: Layout, own: str = "") -> None:
    """Put in place what killed runs still owed.

    Args:
        layout: of the data set.
        own: the stage whose lock this process holds.

    Raises:
        BusyError: another process has been putting its outputs in place for a minute.
        StorageError: the disk may not be written.
    """
    until = time.monotonic() + _PATIENCE
    for journal in _journals(layout.journal("x").parent):
        place, stage = layout.run_of(journal.stem)
        with _opened(place.lock(stage)) as file:
            while journal.exists():
                if journal.stem == layout.own(own) or _taken(file):
                    _finish(place, stage, journal)
                elif time.monotonic() > until:
                    raise BusyError(
                        f"`{place.command(stage)}` is putting its outputs in place" + _holder(file)
                    )
                else:
                    time.sleep(0.02)


def batch_of(layout: Layout, stage: str) -> Batch:
    """All that a stage puts in place together."""
    outputs = [path_of(layout, each) for each in STAGES[stage].made]
    outputs += [layout.manifest(stage), layout.record(stage)]
    return Batch(layout.root, outputs, layout.journal(stage), layout.work("any").parent)


def _finish(layout: Layout, stage: str, journal: Path) -> None:
    try:
        if stage not in STAGES or journal != layout.journal(stage) or layout.variant not in VARIANTS:
            raise ValueError(f"{journal} is of no stage")
        batch_of(layout, stage).put_in_place()
    except FileNotFoundError:  # the other process was faster
        return
    except ValueError:
        log.warning("%s is damaged and was removed; damaged artifacts will be named", journal)
        remove(journal)
