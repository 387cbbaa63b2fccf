"""Atomic file output: files are written beside their destination, then renamed; a stage's together."""

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
"""Environment variable that all but the first process of a training set, to their rank."""
_NUMBERS = itertools.count()
_PARTIAL_NAMES: set[str] = set()
"""Names of this process's partial files."""
_PARTIAL = re.compile(r"\.(\d+)-\d+(?:\.old)?\.partial$")
_FREE_SPACE = "free space or rights, then run again"
_MOVE_AWAY = "move what is there away, then run again"
_STORAGE = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.EFBIG), _FREE_SPACE
    ),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENXIO), _MOVE_AWAY),
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "the disk fails: check it, then run again",
}
"""Remedies by error number."""
_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Translate errors of a full disk, missing permissions or an occupied path.

    Raises:
        StorageError: no space left, quota reached, not writable, or not a file.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _STORAGE:
            raise StorageError(f"cannot write {path}: {reason_of(error)}") from error
        raise


def reason_of(error: OSError) -> str:
    """Describe an error: the system's message, or what is in place of a folder; and a remedy."""
    advice = _STORAGE.get(error.errno or 0, "correct that, then run again")
    named = [Path(each) for each in (error.filename2, error.filename) if isinstance(each, str | Path)]
    for place in named if advice == _MOVE_AWAY else ():
        for each in (*reversed(place.parents), place):
            if os.path.lexists(each) and not each.is_dir():
                return f"{each} is {_thing(each)}, not a folder; {advice}"
    text = os.strerror(error.errno) if error.errno else str(error)
    return f"{text.lower()}; {advice}"


def kind_of(mode: int) -> str:
    """Name the kind of a file, by its mode."""
    return _KINDS.get(stat.S_IFMT(mode), "a file")


def _thing(path: Path) -> str:
    return "a broken link" if not path.exists() else kind_of(path.stat().st_mode)


def check_regular_file(path: Path) -> None:
    """Check that a path is a regular file or does not exist.

    Raises:
        StorageError: it is a folder, a pipe or a device.
    """
    if os.path.lexists(path) and not path.is_file():
        raise StorageError(f"cannot write {path}: it is {_thing(path)}, not a file; {_MOVE_AWAY}")


def check_writable(path: Path) -> None:
    """Check that a file or folder can be made at a path, before it takes long to fill.

    Raises:
        StorageError: it can't.
    """
    place = next(each for each in path.absolute().parents if os.path.lexists(each))
    probe = _beside(place / path.name)
    with storage_errors(path):
        try:
            probe.touch()
        except FileNotFoundError as error:  # of the system's own folders, such as /proc
            raise StorageError(
                f"cannot write {path}: {place} takes no new files; name another folder"
            ) from error
        remove(probe)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Batch:
    """Outputs that are moved into place together, even if the run is killed.

    Once all are written, so is a journal that names them. It commits the batch: if the run is killed later,
    `put_in_place` finishes the renames from the journal.

    Args:
        root: the project's root, to which the journal's paths are relative.
        outputs: files and folders of the batch; others are moved at once.
        journal: path of the journal.
        work: folder below which files may be removed once all is in place.
    """

    def __init__(self, root: Path, outputs: Iterable[Path], journal: Path, work: Path) -> None:
        self.root, self.outputs, self.journal, self.work = root, set(outputs), journal, work
        self.pending: dict[Path, Path] = {}
        self._to_remove: list[Path] = []

    def contains(self, path: Path) -> bool:
        """Test whether a file or folder belongs to the batch."""
        return path in self.outputs

    def add(self, path: Path, beside: Path) -> None:
        """Register that `beside` is to be moved to `path`."""
        if path in self.pending:
            remove(self.pending[path])
        self.pending[path] = beside

    def remove_later(self, path: Path) -> None:
        """Register that `path` is to be removed once all is in place."""
        self._to_remove.append(path)

    def commit(self) -> None:
        """Write the journal and move all into place."""
        moves = [[self._relative(beside), self._relative(path)] for path, beside in self.pending.items()]
        content = {"moves": moves, "remove": [self._relative(path) for path in self._to_remove]}
        with storage_errors(self.journal):
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            beside = _beside(self.journal)
            beside.write_text(json.dumps(content), encoding="utf-8")
            beside.replace(self.journal)
            self.pending = {}
            self.put_in_place()

    def put_in_place(self) -> None:
        """Do the journal's remaining renames and removals, then remove it.

        Raises:
            FileNotFoundError: there is no journal, or another process finished it.
            ValueError: it can't be read, or names a path that is not the batch's; nothing was done.
            StorageError: the disk is not writable.
        """
        moves, to_remove = self._read_journal()
        aside = [path.with_name(f".{path.name}.old") for _, path in moves]
        with storage_errors(self.journal):
            for (beside, path), old in zip(moves, aside, strict=True):
                if not os.path.lexists(beside):
                    continue  # in place already
                _swap(beside, path, old)
            for path in [*aside, *to_remove]:
                remove(path)
            self.journal.unlink()

    def _read_journal(self) -> tuple[list[tuple[Path, Path]], list[Path]]:
        """Read the journal: what to move where, and what to remove."""
        if os.path.lexists(self.journal) and not self.journal.is_file():  # reading a pipe would hang
            raise ValueError(f"{self.journal} is not a file")
        try:
            content = read_json(self.journal)
            moves = [(self.root / beside, self.root / path) for beside, path in content["moves"]]
            to_remove = [self.root / path for path in content["remove"]]
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{self.journal} is not a journal") from error
        for beside, path in moves:
            own = path in self.outputs and beside.parent == path.parent
            if not own or not re.fullmatch(rf"\.{re.escape(path.name)}\.\d+-\d+\.partial", beside.name):
                raise ValueError(f"{self.journal} names {beside} and {path}, which are not its outputs")
        for path in to_remove:
            if self.work not in path.parents or ".." in path.parts:
                raise ValueError(f"{self.journal} removes {path}, which is not below {self.work}")
        return moves, to_remove

    def drop(self) -> None:
        """Remove what was written but not moved into place."""
        for beside in self.pending.values():
            remove(beside)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


_BATCH: ContextVar[Batch | None] = ContextVar("batch", default=None)


@contextmanager
def together(batch: Batch) -> Iterator[Batch]:
    """Hold back outputs of a batch, written by `whole`, until its `commit`; remove them without one."""
    token = _BATCH.set(batch)
    try:
        yield batch
    finally:
        _BATCH.reset(token)
        batch.drop()


def _swap(beside: Path, path: Path, old: Path) -> None:
    """Move `beside` to `path`; a folder that was there moves to `old`."""
    if os.path.lexists(path) and (path.is_dir() or beside.is_dir()):
        remove(old)
        path.replace(old)
    beside.replace(path)


def latest(path: Path) -> Path:
    """Return where an output of the running stage can be read now."""
    batch = _BATCH.get()
    return batch.pending.get(path, path) if batch else path


def discard(path: Path) -> None:
    """Remove files for resuming once the stage's outputs are in place; only the first process does."""
    if os.environ.get(FOLLOWS):
        return
    batch = _BATCH.get()
    if batch:
        batch.remove_later(path)
    else:
        remove(path)


def _beside(path: Path) -> Path:
    """Return a path beside `path` that no other writer uses."""
    partial = path.with_name(f".{path.name}.{os.getpid()}-{next(_NUMBERS)}.partial")
    _PARTIAL_NAMES.add(partial.name)
    return partial


def _remove_leftovers(path: Path) -> None:
    """Remove partial files of killed processes beside `path`."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        match = _PARTIAL.search(leftover.name)
        if (
            match
            and leftover.name not in _PARTIAL_NAMES
            and (int(match[1]) == os.getpid() or not _is_running(int(match[1])))
        ):
            remove(leftover)  # in a container the next process may have the same number


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _mode(path: Path) -> int | None:
    """Return the permissions of a regular file, else None."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return None
    return stat.S_IMODE(mode) if stat.S_ISREG(mode) else None


def _as_new(folder: Path) -> None:
    """Give files that safetensors made for their owner alone the rights of any new file."""
    umask = os.umask(0o077)  # can't be read without being set
    os.umask(umask)
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and not (mode := path.stat().st_mode) & 0o077:
            path.chmod(stat.S_IMODE(mode) | 0o066 & ~umask)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Write a file or folder atomically: yield a path beside `path`, and move it to `path` on success.

    A file keeps the permissions of the one that it replaces, files of a folder follow the umask. An output of
    a batch (`together`) is moved with the others. Partial files of killed runs are removed. All but the first
    process of a training (FOLLOWS) discard what they write, which equals the first one's.

    Raises:
        StorageError: the disk is full or not writable.
    """
    beside, batch, kept = _beside(path), _BATCH.get(), False
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        mode = _mode(path)
        try:
            if mode is not None and not mode & stat.S_IROTH:
                beside.touch(mode | stat.S_IWUSR)
            yield beside
            if mode is not None and beside.is_file():
                beside.chmod(mode)
            if beside.is_dir():
                _as_new(beside)
            if os.environ.get(FOLLOWS):
                return
            if batch and batch.contains(path):
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
    """Format `value` as `write_json` does."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys; raises ValueError for NaN."""
    with whole(path) as beside:
        beside.write_text(json_text(value), encoding="utf-8")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], end: str = "\n") -> None:
    """Write a table as CSV with line end `end`."""
    with whole(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator=end)
        writer.writerow(header)
        writer.writerows(rows)


def write_curve(path: Path, along: str, points: Iterable[tuple[str, float, str, float]]) -> None:
    """Write a training curve as CSV for `dvc plots`, reports and the audit.

    Args:
        path: see `Layout.curve`.
        along: "epoch" or "step".
        points: model, epoch or step, series, value.
    """
    write_csv(path, ["model", along, "series", "value"], points, end="\r\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
