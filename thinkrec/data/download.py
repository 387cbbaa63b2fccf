"""Download of MovieLens-1M from GroupLens, checked and unpacked whole or not at all."""

from __future__ import annotations

import hashlib
import logging
import zipfile
from contextlib import ExitStack
from pathlib import Path

from thinkrec.data.remote import load
from thinkrec.errors import DataError
from thinkrec.files import storage_errors, whole

log = logging.getLogger(__name__)

ADDRESS = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
MD5 = "c4d9eecfca2ab87c1945afe126590906"
"""As published beside the file (ml-1m.zip.md5)."""
FILES = ("movies.dat", "ratings.dat", "users.dat")
_BY_HAND = f"load it by hand where there is a network, and put {', '.join(FILES)} from it into"


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
            load(address, part, f"{_BY_HAND} {folder}", pause)
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


def _unpack(archive: Path, folder: Path) -> None:
    """Write the three files beside their places, then put all in place."""
    try:
        with zipfile.ZipFile(archive) as held, ExitStack() as stack:
            for name in FILES:
                stack.enter_context(whole(folder / name)).write_bytes(held.read(f"ml-1m/{name}"))
    except (zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{archive} is no zip of MovieLens-1M: {error}") from error
