"""Download of MovieLens-1M from GroupLens."""

from __future__ import annotations

import hashlib
import logging
import zipfile
from contextlib import ExitStack
from pathlib import Path

from thinkrec.data.remote import download
from thinkrec.errors import DataError
from thinkrec.files import storage_errors, whole

log = logging.getLogger(__name__)

ADDRESS = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
MD5 = "c4d9eecfca2ab87c1945afe126590906"
"""As published beside the file (ml-1m.zip.md5)."""
FILES = ("movies.dat", "ratings.dat", "users.dat")
_BY_HAND = f"download it where there is a network, and put {', '.join(FILES)} from it into"


def fetch_ml1m(folder: Path, address: str = ADDRESS, md5: str = MD5, pause: float = 1.0) -> None:
    """Download movies.dat, ratings.dat and users.dat into `folder`, unless they exist.

    An interrupted download is resumed, now or by the next call; all files appear together.

    Args:
        folder: raw folder; created if needed. Other files in it are kept.
        address: of the zip file.
        md5: its checksum.
        pause: seconds before the second attempt; doubles with each.

    Raises:
        DataError: the download failed, or its checksum is wrong.
        StorageError: the disk is full or not writable.
    """
    if all((folder / name).exists() for name in FILES):
        log.info("%s already has MovieLens-1M", folder)
        return
    part = folder / ".ml-1m.zip.part"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not (part.exists() and _md5(part) == md5):
            download(address, part, f"{_BY_HAND} {folder}", pause)
            if (digest := _md5(part)) != md5:
                part.unlink()
                raise DataError(
                    f"{address} is not the published file: its md5 is {digest}, not {md5}; try again"
                )
        _unpack(part, folder)
        part.unlink()


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _unpack(archive: Path, folder: Path) -> None:
    """Extract the three files and move them into place together."""
    try:
        with zipfile.ZipFile(archive) as held, ExitStack() as stack:
            for name in FILES:
                stack.enter_context(whole(folder / name)).write_bytes(held.read(f"ml-1m/{name}"))
    except (zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{archive} is not a zip file of MovieLens-1M: {error}") from error
