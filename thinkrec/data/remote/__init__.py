"""Files from an s3:// or https:// folder, copied whole into a local one before they are read.

Why copies and not DuckDB over the network: quarantine reads a file more than once, a gzipped file has no
middle to go on from, and what broke off half-way through a copy is taken up again instead of read as the end.
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
from thinkrec.data.remote.stores import ForbiddenError, GoneError, PassingError, Store, shown
from thinkrec.data.remote.webstore import WebStore
from thinkrec.errors import ConfigError, DataError, StorageError
from thinkrec.files import storage_errors, whole
from thinkrec.progress import Bar

log = logging.getLogger(__name__)

T = TypeVar("T")

TRIES = 4
"""Times in a row that the server may send nothing new (our choice)."""
_BY_HAND = (
    "run again when the server answers, or copy the files by hand to a local folder and name it as `raw` in "
    "params.yaml"
)
STORES: dict[str, Callable[[str], Store]] = {"s3": S3Store, "https": WebStore, "http": WebStore}
"""By the scheme of a raw folder's address."""
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


def is_remote(raw: str) -> bool:
    """Whether a raw folder is an address with a scheme, such as s3:// or https://, and no local path."""
    return _SCHEME.match(raw) is not None


def bring(raw: str, names: Mapping[str, bool], folder: Path, pause: float = 1.0) -> Path:
    """Copy files of a remote folder to a local one; all are looked for before the first is copied.

    Credentials are taken from where requests and s3fs look for them; none appears in a message.

    Args:
        raw: address of the remote folder.
        names: file names, each with whether it is needed; others may be absent.
        folder: where to; made if need be. The caller removes it.
        pause: seconds before the second try; they double with each.

    Returns:
        `folder`; a file in it has the length that the server announced.

    Raises:
        ConfigError: an address that can't be read here, or a package for it is missing.
        DataError: a needed file is missing, or a file may not or can't be copied; says what to do.
        StorageError: the disk is full, too small for what is to come, or may not be written.
    """
    store = store_of(raw)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sizes = _survey(store, names, pause)
        _refuse_small_disk(folder, sum(size or 0 for size in sizes.values()))
        log.info("copying %d files from %s", len(sizes), shown(raw))
        total = None if None in sizes.values() else sum(size or 0 for size in sizes.values())
        with Bar(total=total, unit="B", unit_scale=True, desc="copying") as bar:
            for name in sizes:
                bar.set_description(f"copying {name}")
                with whole(folder / name) as beside:
                    _copy(store, name, beside, bar, pause)
    return folder


def load(address: str, place: Path, advice: str, pause: float = 1.0) -> None:
    """Copy one remote file to `place`; what a broken copy left there is gone on from.

    Args:
        address: of the file.
        place: where to; its folder is there.
        advice: what to do when the file can't be had.
        pause: seconds before the second try; they double with each.

    Raises:
        DataError: the file is missing, or may not or can't be copied; says what to do.
        StorageError: the disk is too small.
    """
    raw, _, name = address.rpartition("/")
    store, have = store_of(raw), place.stat().st_size if place.exists() else 0
    try:
        size = _persist(partial(_size, store, name), address, pause, advice)
    except GoneError:
        raise DataError(f"{shown(address)} is not there: {advice}") from None
    except ForbiddenError as error:
        raise DataError(f"{error}; or {advice}") from None
    _refuse_small_disk(place.parent, (size or 0) - have)
    with Bar(total=size, initial=have, unit="B", unit_scale=True, desc=f"downloading {name}") as bar:
        _copy(store, name, place, bar, pause, advice)


def store_of(raw: str) -> Store:
    """The remote folder that an address stands for.

    Raises:
        ConfigError: another scheme, no host or bucket, or the scheme's package is not installed.
    """
    found = _SCHEME.match(raw)
    scheme = found[1].lower() if found else ""
    if scheme not in STORES:
        raise ConfigError(
            f"raw: the scheme {scheme}:// is not known, only {', '.join(f'{known}://' for known in STORES)}; "
            "or copy the files to a local folder and name that"
        )
    try:
        host = urlsplit(raw).netloc.rpartition("@")[2]
    except ValueError:  # an unfinished [ of an IPv6 address
        host = ""
    if not host:
        raise ConfigError(f"raw: the {scheme}:// address names no {'bucket' if scheme == 's3' else 'server'}")
    return STORES[scheme](scheme + raw[len(scheme) :])


def _survey(store: Store, names: Mapping[str, bool], pause: float) -> dict[str, int | None]:
    """Announced length of each file that is there.

    Raises:
        DataError: a needed one is not there; one may not be read, and it is needed or no other was found.
    """
    sizes: dict[str, int | None] = {}
    forbidden: list[ForbiddenError] = []
    for name, needed in names.items():
        address = store.address(name)
        try:
            sizes[name] = _persist(partial(_size, store, name), address, pause)
        except GoneError:
            if needed:
                raise DataError(
                    f"{shown(address)} is not there: check `raw` of the data set in params.yaml, "
                    "and that the folder holds this file"
                ) from None
        except ForbiddenError as error:
            if needed:
                raise
            forbidden.append(error)
        if name in sizes and sizes[name] is None:
            log.warning(
                "the server does not say how long %s is: a copy that ends early may pass for a whole one",
                shown(address),
            )
    for one in forbidden:
        if not sizes:
            raise one
        log.warning("taken as absent: %s", one)
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
    """Write a remote file to `place`, taken up again where it broke off or where what is there ends.

    Raises:
        DataError: it can't be had, or is gone by now.
    """
    place.touch()
    try:
        _persist(partial(_copy_rest, store, name, place, bar), store.address(name), pause, advice, place)
    except GoneError:
        raise DataError(f"{shown(store.address(name))} went away while it was copied; run again") from None


def _copy_rest(store: Store, name: str, place: Path, bar: Bar) -> None:
    have = place.stat().st_size
    with store.open(name, have) as stream, place.open("r+b") as file:
        file.truncate(stream.start)
        file.seek(stream.start)
        bar.update(stream.start - have)
        for block in stream.blocks:
            file.write(block)
            bar.update(len(block))
        got = file.tell()
        if stream.size is not None and got > stream.size:
            file.truncate(0)  # whatever this is, it is not the beginning of the file
    if stream.size is not None and got != stream.size:
        raise PassingError(f"{got:,} of {stream.size:,} bytes came")


def _persist(
    act: Callable[[], T], address: str, pause: float, advice: str = _BY_HAND, place: Path | None = None
) -> T:
    """Do `act` until it succeeds, at most TRIES times in a row without `place` having grown.

    Raises:
        DataError: all tries failed; names the last one's reason.
    """
    failed = 0
    while True:
        have = place.stat().st_size if place else 0
        try:
            return act()
        except PassingError as error:
            reason = str(error)
        failed = 1 if place and place.stat().st_size > have else failed + 1
        if failed == TRIES:
            raise DataError(f"cannot copy {shown(address)} ({reason}; tried {TRIES} times): {advice}")
        log.info("%s: %s; trying again", shown(address), reason)
        time.sleep(pause * 2 ** (failed - 1))
