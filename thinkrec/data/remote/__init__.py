"""Raw files in an s3:// or https:// folder, copied to a local one before they are read.

Copies rather than DuckDB over the network: quarantine reads a file more than once, and an interrupted copy is
resumed instead of being read as the end of a file.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from thinkrec.data.remote.s3store import S3Store
from thinkrec.data.remote.stores import ForbiddenError, NotFoundError, Store, TransientError, redacted
from thinkrec.data.remote.webstore import WebStore
from thinkrec.errors import ConfigError, DataError, StorageError
from thinkrec.files import storage_errors, whole
from thinkrec.progress import Bar

log = logging.getLogger(__name__)

T = TypeVar("T")

TRIES = 4
"""Attempts in a row without progress (our choice)."""
_BY_HAND = (
    "run again when the server answers, or copy the files by hand to a local folder and name it as `raw` in "
    "params.yaml"
)
STORES: dict[str, Callable[[str], Store]] = {"s3": S3Store, "https": WebStore, "http": WebStore}
"""Stores by URL scheme."""
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


def fetch_files(raw: str, names: Mapping[str, bool], folder: Path, pause: float = 1.0) -> Path:
    """Copy files of a remote folder to a local one, after checking that all exist.

    Credentials come from where requests and s3fs look for them; messages never contain them.

    Args:
        raw: address of the remote folder.
        names: file name -> whether it is required.
        folder: destination, created if needed. The caller removes it.
        pause: seconds before the second attempt; doubles with each.

    Returns:
        `folder`; its files have the length that the server announced.

    Raises:
        ConfigError: the address is not supported, or its package is not installed.
        DataError: a required file is missing, or a copy is forbidden or failed.
        StorageError: the disk is full, too small or not writable.
    """
    store = store_of(raw)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sizes = _sizes(store, names, pause)
        _refuse_small_disk(folder, sum(size or 0 for size in sizes.values()))
        log.info("copying %d files from %s", len(sizes), redacted(raw))
        total = None if None in sizes.values() else sum(size or 0 for size in sizes.values())
        with Bar(total=total, unit="B", unit_scale=True, desc="copying") as bar:
            for name in sizes:
                bar.set_description(f"copying {name}")
                with whole(folder / name) as beside:
                    _copy(store, name, beside, bar, pause)
    return folder


def download(address: str, place: Path, advice: str, pause: float = 1.0) -> None:
    """Copy one remote file to `place`, resuming an interrupted copy.

    Args:
        address: of the file.
        place: destination in an existing folder.
        advice: what to do if the file can't be copied.
        pause: seconds before the second attempt; doubles with each.

    Raises:
        DataError: the file is missing, or its copy is forbidden or failed.
        StorageError: the disk is too small.
    """
    raw, _, name = address.rpartition("/")
    store, offset = store_of(raw), place.stat().st_size if place.exists() else 0
    try:
        size = _retry(partial(_size, store, name), address, pause, advice)
    except NotFoundError:
        raise DataError(f"{redacted(address)} is not there: {advice}") from None
    except ForbiddenError as error:
        raise DataError(f"{error}; or {advice}") from None
    _refuse_small_disk(place.parent, (size or 0) - offset)
    with Bar(total=size, initial=offset, unit="B", unit_scale=True, desc=f"downloading {name}") as bar:
        _copy(store, name, place, bar, pause, advice)


def store_of(raw: str) -> Store:
    """Return the store of an address.

    Raises:
        ConfigError: unknown scheme, no host or bucket, or the scheme's package is not installed.
    """
    match = _SCHEME.match(raw)
    scheme = match[1].lower() if match else ""
    if scheme not in STORES:
        raise ConfigError(
            f"raw: the scheme {scheme}:// is not known, only {', '.join(f'{name}://' for name in STORES)}; "
            "or copy the files to a local folder and name that"
        )
    try:
        host = urlsplit(raw).netloc.rpartition("@")[2]
    except ValueError:  # an unfinished [ of an IPv6 address
        host = ""
    if not host:
        raise ConfigError(f"raw: the {scheme}:// address names no {'bucket' if scheme == 's3' else 'server'}")
    return STORES[scheme](scheme + raw[len(scheme) :])


def _sizes(store: Store, names: Mapping[str, bool], pause: float) -> dict[str, int | None]:
    """Ask for the length of each existing file.

    Raises:
        DataError: a required file is missing, or a file may not be read and is required or the only one.
    """
    sizes: dict[str, int | None] = {}
    forbidden: list[ForbiddenError] = []
    for name, needed in names.items():
        address = store.address(name)
        try:
            sizes[name] = _retry(partial(_size, store, name), address, pause)
        except NotFoundError:
            if needed:
                raise DataError(
                    f"{redacted(address)} is not there: check `raw` of the data set in params.yaml, "
                    "and that the folder holds this file"
                ) from None
        except ForbiddenError as error:
            if needed:
                raise
            forbidden.append(error)
        if name in sizes and sizes[name] is None:
            log.warning(
                "the server does not say how long %s is: a copy that ends early may pass for a whole one",
                redacted(address),
            )
    for denied in forbidden:
        if not sizes:
            raise denied
        log.warning("taken as absent: %s", denied)
    return sizes


def _size(store: Store, name: str) -> int | None:
    with store.open(name, 0) as stream:
        return stream.size


def _refuse_small_disk(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if need > free:
        raise StorageError(
            f"cannot write {folder}: the remote files take {need:,} bytes, {free:,} are free; "
            "free space, then run again"
        )


def _copy(store: Store, name: str, place: Path, bar: Bar, pause: float, advice: str = _BY_HAND) -> None:
    """Copy a remote file to `place`, resuming after interruptions and from what is there.

    Raises:
        DataError: it can't be copied, or was removed meanwhile.
    """
    place.touch()
    try:
        _retry(partial(_copy_rest, store, name, place, bar), store.address(name), pause, advice, place)
    except NotFoundError:
        raise DataError(f"{redacted(store.address(name))} went away while it was copied; run again") from None


def _copy_rest(store: Store, name: str, place: Path, bar: Bar) -> None:
    offset = place.stat().st_size
    with store.open(name, offset) as stream, place.open("r+b") as file:
        file.truncate(stream.start)
        file.seek(stream.start)
        bar.update(stream.start - offset)
        for block in stream.blocks:
            file.write(block)
            bar.update(len(block))
        got = file.tell()
        if stream.size is not None and got > stream.size:
            file.truncate(0)  # not the beginning of this file
    if stream.size is not None and got != stream.size:
        raise TransientError(f"{got:,} of {stream.size:,} bytes came")


def _retry(
    act: Callable[[], T], address: str, pause: float, advice: str = _BY_HAND, place: Path | None = None
) -> T:
    """Call `act` until it succeeds, at most TRIES times in a row without `place` growing.

    Raises:
        DataError: all attempts failed; names the last reason.
    """
    failed = 0
    while True:
        offset = place.stat().st_size if place else 0
        try:
            return act()
        except TransientError as error:
            reason = str(error)
        failed = 1 if place and place.stat().st_size > offset else failed + 1
        if failed == TRIES:
            raise DataError(f"cannot copy {redacted(address)} ({reason}; tried {TRIES} times): {advice}")
        log.info("%s: %s; trying again", redacted(address), reason)
        time.sleep(pause * 2 ** (failed - 1))
