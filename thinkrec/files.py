"""Files that appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thinkrec.errors import StorageError

FOLLOWS = "THINKREC_FOLLOWS"
"""Environment variable that a training's second and further processes set for themselves, to their number."""
_ROOM = "free space or rights, then run again"
_OTHER_THING = "move what is there away, then run again"
_STORAGE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.EFBIG), _ROOM),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENXIO), _OTHER_THING),
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "the disk fails: look after it, then run again",
}
"""What to do, by the system's error number."""
_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the system says of a full, forbidden or occupied place into a sentence.

    Raises:
        StorageError: no space left, quota reached, no right to write, or another thing there.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _STORAGE:
            raise StorageError(f"cannot write {path}: {why(error)}") from error
        raise


def why(error: OSError) -> str:
    """What the system says of a place, or what lies where a folder belongs, and what to do."""
    advice = _STORAGE.get(error.errno or 0, "mend that, then run again")
    named = [Path(each) for each in (error.filename2, error.filename) if isinstance(each, str | Path)]
    for place in named if advice == _OTHER_THING else ():
        for each in (*reversed(place.parents), place):
            if os.path.lexists(each) and not each.is_dir():
                return f"{each} is {_thing(each)}, not a folder; {advice}"
    said = os.strerror(error.errno) if error.errno else str(error)
    return f"{said.lower()}; {advice}"


def kind_of(mode: int) -> str:
    """What a place holds, by its mode."""
    return _KINDS.get(stat.S_IFMT(mode), "a file")


def _thing(path: Path) -> str:
    return "a link that leads nowhere" if not path.exists() else kind_of(path.stat().st_mode)


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
