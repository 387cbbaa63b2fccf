"""Files that appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thinkrec.errors import StorageError

FOLLOWS = "THINKREC_FOLLOWS"
"""Environment variable that a training's second and further processes set for themselves, to their number."""
_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.EFBIG}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the system says of a full or forbidden disk into a sentence.

    Raises:
        StorageError: no space left, quota reached, or no right to write below `path`.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _STORAGE:
            reason = os.strerror(error.errno or 0).lower()
            raise StorageError(
                f"cannot write {path}: {reason}; free space or rights, then run again"
            ) from error
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or folder to; it takes `path`'s place when all went well.

    What a killed run left beside `path` is removed by the next one. A process that follows another
    (FOLLOWS) puts nothing in place: what it writes is what the first one writes.

    Raises:
        StorageError: the disk is full or may not be written.
    """
    number = os.environ.get(FOLLOWS, "")
    beside = path.parent / f".{path.name}.partial{number}"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(beside)
        try:
            yield beside
            if number:
                return
            if beside.is_dir() and path.exists():
                _remove(path)
            beside.replace(path)
        finally:
            _remove(beside)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys; NaN is refused, since JSON has none."""
    with whole(path) as beside:
        beside.write_text(
            json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8"
        )


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
