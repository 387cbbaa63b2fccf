"""Files that appear whole or not at all: written beside their place, then renamed; a stage's together."""

from __future__ import annotations

import csv
import errno
import glob
import itertools
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from thinkrec.errors import StorageError

FOLLOWS = "THINKREC_FOLLOWS"
"""Environment variable that a training's second and further processes set for themselves, to their number."""
_NUMBERS = itertools.count()
_OWN: set[str] = set()
"""Names of the partial files that this process writes."""
_PARTIAL = re.compile(r"\.(\d+)-\d+(?:\.old)?\.partial$")
_ROOM = "free space or rights, then run again"
_OTHER_THING = "move what is there away, then run again"
_STORAGE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.EFBIG), _ROOM),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENXIO), _OTHER_THING),
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "the disk fails: check it, then run again",
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
    advice = _STORAGE.get(error.errno or 0, "correct that, then run again")
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
    return "a broken link" if not path.exists() else kind_of(path.stat().st_mode)


def refuse_others(path: Path) -> None:
    """Refuse a folder, a pipe or a device in the place of a file that is read and written.

    Raises:
        StorageError: names it.
    """
    if os.path.lexists(path) and not path.is_file():
        raise StorageError(f"cannot write {path}: it is {_thing(path)}, not a file; {_OTHER_THING}")


def remove(path: Path) -> None:
    """Remove a file, a link or a folder; nothing may be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Batch:
    """Outputs that are put in place together, in one step that a killed run can't halve.

    Once all are written, a journal that names them is; from then on they count, and whoever finds the
    journal (`put_in_place`) does the renames that a killed run still owed.

    Args:
        root: the project's root, to which the journal's paths are relative.
        outputs: files and folders of the batch; what else is written takes its place at once.
        journal: where the journal is written.
        work: the folder below which lies what may go when all is in place.
    """

    def __init__(self, root: Path, outputs: Iterable[Path], journal: Path, work: Path) -> None:
        self.root, self.outputs, self.journal, self.work = root, set(outputs), journal, work
        self.waiting: dict[Path, Path] = {}
        self._done_with: list[Path] = []

    def takes(self, path: Path) -> bool:
        """Whether a file or folder belongs to the batch."""
        return path in self.outputs

    def add(self, path: Path, beside: Path) -> None:
        """Let what was written to `beside` take the place `path` at the end."""
        if path in self.waiting:
            remove(self.waiting[path])
        self.waiting[path] = beside

    def forget(self, path: Path) -> None:
        """Remove `path` once all is in place."""
        self._done_with.append(path)

    def commit(self) -> None:
        """Put all in place."""
        moves = [[self._named(beside), self._named(path)] for path, beside in self.waiting.items()]
        said = {"moves": moves, "remove": [self._named(path) for path in self._done_with]}
        with storage_errors(self.journal):
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            beside = _beside(self.journal)
            beside.write_text(json.dumps(said), encoding="utf-8")
            beside.replace(self.journal)
            self.waiting = {}
            self.put_in_place()

    def put_in_place(self) -> None:
        """Do the renames and removals of the journal, as far as they were not done, and remove it.

        Raises:
            FileNotFoundError: there is none, or another process was faster.
            ValueError: it can't be read, or names a place that is not the batch's own; nothing was done.
            StorageError: the disk may not be written.
        """
        moves, done_with = self._owed()
        aside = [path.with_name(f".{path.name}.old") for _, path in moves]
        with storage_errors(self.journal):
            for (beside, path), old in zip(moves, aside, strict=True):
                if not os.path.lexists(beside):
                    continue  # in place already
                _swap(beside, path, old)
            for path in [*aside, *done_with]:
                remove(path)
            self.journal.unlink()

    def _owed(self) -> tuple[list[tuple[Path, Path]], list[Path]]:
        """What the journal says: what takes which place, and what goes then."""
        if os.path.lexists(self.journal) and not self.journal.is_file():  # reading a pipe would hang
            raise ValueError(f"{self.journal} is no file")
        try:
            said = read_json(self.journal)
            moves = [(self.root / beside, self.root / path) for beside, path in said["moves"]]
            done_with = [self.root / path for path in said["remove"]]
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{self.journal} is no journal") from error
        for beside, path in moves:
            own = path in self.outputs and beside.parent == path.parent
            if not own or not re.fullmatch(rf"\.{re.escape(path.name)}\.\d+-\d+\.partial", beside.name):
                raise ValueError(f"{self.journal} names {beside} and {path}, which are none of its outputs")
        for path in done_with:
            if self.work not in path.parents or ".." in path.parts:
                raise ValueError(f"{self.journal} removes {path}, which is not below {self.work}")
        return moves, done_with

    def drop(self) -> None:
        """Remove what was written and not put in place."""
        for beside in self.waiting.values():
            remove(beside)

    def _named(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


_BATCH: ContextVar[Batch | None] = ContextVar("batch", default=None)


@contextmanager
def together(batch: Batch) -> Iterator[Batch]:
    """Hold back what `whole` writes of a batch until its `commit`; what was not put in place is removed."""
    token = _BATCH.set(batch)
    try:
        yield batch
    finally:
        _BATCH.reset(token)
        batch.drop()


def _swap(beside: Path, path: Path, old: Path) -> None:
    """Put `beside` into the place `path`; a folder that was there moves to `old`."""
    if os.path.lexists(path) and (path.is_dir() or beside.is_dir()):
        remove(old)
        path.replace(old)
    beside.replace(path)


def latest(path: Path) -> Path:
    """Where an output of the stage that is running can be read: beside its place until all are in place."""
    batch = _BATCH.get()
    return batch.waiting.get(path, path) if batch else path


def discard(path: Path) -> None:
    """Remove what lets a stage resume, once its outputs are in place; a process that follows leaves that."""
    if os.environ.get(FOLLOWS):
        return
    batch = _BATCH.get()
    if batch:
        batch.forget(path)
    else:
        remove(path)


def _beside(path: Path) -> Path:
    """A place beside `path` that no other process and no other writer of this one uses."""
    found = path.with_name(f".{path.name}.{os.getpid()}-{next(_NUMBERS)}.partial")
    _OWN.add(found.name)
    return found


def _sweep(path: Path) -> None:
    """Remove what killed processes left beside `path`."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        found = _PARTIAL.search(left.name)
        if found and left.name not in _OWN and (int(found[1]) == os.getpid() or not _lives(int(found[1]))):
            remove(left)  # in a container the next process may have the same number


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _mode(path: Path) -> int | None:
    """The rights of a file; None where there is none, or another thing, such as a link."""
    try:
        found = path.lstat().st_mode
    except OSError:
        return None
    return stat.S_IMODE(found) if stat.S_ISREG(found) else None


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or folder to; it takes `path`'s place when all went well.

    A file keeps the rights of the one that it replaces, from its first byte on. An output of a batch
    (`together`) takes its place with the others. What a killed run left beside `path` is removed by the next
    one. A process that follows another (FOLLOWS) puts nothing in place: what it
    writes is what the first one writes.

    Raises:
        StorageError: the disk is full or may not be written.
    """
    beside, batch, kept = _beside(path), _BATCH.get(), False
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        mode = _mode(path)
        try:
            if mode is not None and not mode & stat.S_IROTH:
                beside.touch(mode | stat.S_IWUSR)
            yield beside
            if mode is not None and beside.is_file():
                beside.chmod(mode)
            if os.environ.get(FOLLOWS):
                return
            if batch and batch.takes(path):
                batch.add(path, beside)
                kept = True
            else:
                old = beside.with_name(f"{beside.name.removesuffix('.partial')}.old.partial")
                _swap(beside, path, old)
                remove(old)
        finally:
            if not kept:
                remove(beside)


def json_text(value: Any) -> str:
    """`value` as the text that `write_json` writes."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys; NaN is refused, since JSON has none."""
    with whole(path) as beside:
        beside.write_text(json_text(value), encoding="utf-8")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], end: str = "\n") -> None:
    """Write a table as CSV, its lines ended by `end`."""
    with whole(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator=end)
        writer.writerow(header)
        writer.writerows(rows)


def write_curve(path: Path, along: str, points: Iterable[tuple[str, float, str, float]]) -> None:
    """Write the curve of a stage's training as CSV, which `dvc plots`, reports and the audit read.

    Args:
        path: see `Layout.curve`.
        along: epoch or step.
        points: model, epoch or step, name of a series, its value there.
    """
    write_csv(path, ["model", along, "series", "value"], points, end="\r\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
