"""Download of MovieLens-1M from GroupLens, checked and unpacked whole or not at all."""

from __future__ import annotations

import hashlib
import logging
import time
import zipfile
from contextlib import ExitStack
from pathlib import Path

import requests

from thinkrec.errors import DataError
from thinkrec.files import storage_errors, whole
from thinkrec.progress import Bar

log = logging.getLogger(__name__)

ADDRESS = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
MD5 = "c4d9eecfca2ab87c1945afe126590906"
"""As published beside the file (ml-1m.zip.md5)."""
FILES = ("movies.dat", "ratings.dat", "users.dat")
TRIES = 4
"""Times in a row that the server may send nothing new (our choice)."""
_BLOCK = 1 << 16


def fetch_ml1m(folder: Path, address: str = ADDRESS, md5: str = MD5, pause: float = 1.0) -> None:
    """Bring movies.dat, ratings.dat and users.dat into `folder`; nothing is done when they are there.

    A broken download is kept beside its place and taken up again, now or by the next call.

    Args:
        folder: raw folder; made if need be. Files in it that are not MovieLens' stay.
        address: of the zip file.
        md5: its checksum.
        pause: seconds before the second try; they double with each.

    Raises:
        DataError: the file can't be had (says what to do by hand), or is not the one published.
        StorageError: the disk is full or may not be written.
    """
    if all((folder / name).exists() for name in FILES):
        log.info("%s has MovieLens-1M already", folder)
        return
    part = folder / ".ml-1m.zip.part"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not (part.exists() and _md5(part) == md5):
            _download(address, part, folder, pause)
            if (found := _md5(part)) != md5:
                part.unlink()
                raise DataError(
                    f"{address} is not the file published: its md5 is {found}, not {md5}; try again"
                )
        _unpack(part, folder)
        part.unlink()


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _download(address: str, part: Path, folder: Path, pause: float) -> None:
    """Load `address` into `part`, from where `part` ends."""
    failed = 0
    while failed < TRIES:
        have = _size(part)
        try:
            _load_rest(address, part)
            return
        except requests.RequestException as error:
            reason = type(error).__name__
            if (answer := error.response) is not None:
                reason = f"{answer.status_code} {answer.reason}"
                if answer.status_code < 500:
                    break
        failed = 1 if _size(part) > have else failed + 1
        if failed < TRIES:
            log.info("download broke off (%s) and is taken up again", reason)
            time.sleep(pause * 2 ** (failed - 1))
    raise DataError(
        f"cannot download {address} ({reason}): load it by hand where there is a network, "
        f"and put {', '.join(FILES)} from it into {folder}"
    )


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _load_rest(address: str, part: Path) -> None:
    """One request for what `part` lacks; a server that knows no ranges sends everything anew."""
    have = _size(part)
    ranges = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(address, headers=ranges, stream=True, timeout=30) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()  # longer than the file itself, hence not its beginning
            return _load_rest(address, part)
        answer.raise_for_status()
        goes_on = answer.status_code == requests.codes.partial_content
        have = have if goes_on else 0
        size = int(answer.headers.get("Content-Length", 0)) + have
        with (
            part.open("ab" if goes_on else "wb") as file,
            Bar(
                total=size or None, initial=have, unit="B", unit_scale=True, desc="downloading ml-1m.zip"
            ) as bar,
        ):
            for block in answer.iter_content(_BLOCK):
                file.write(block)
                bar.update(len(block))
    if size and part.stat().st_size < size:
        raise requests.ConnectionError("the server sent less than it said")
    return None


def _unpack(archive: Path, folder: Path) -> None:
    """Write the three files beside their places, then put all in place."""
    try:
        with zipfile.ZipFile(archive) as held, ExitStack() as stack:
            for name in FILES:
                stack.enter_context(whole(folder / name)).write_bytes(held.read(f"ml-1m/{name}"))
    except (zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{archive} is no zip of MovieLens-1M: {error}") from error
