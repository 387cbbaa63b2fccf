"""Raw files as bytes: out of gzip or zstd where they are packed, in UTF-8 whatever their encoding."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from thinkrec.data.database import cut_gzip
from thinkrec.errors import DataError
from thinkrec.progress import Bar

Packing = Literal["uncompressed", "gzip", "zstd"]
"""As DuckDB calls them."""
_MAGIC: dict[bytes, Packing] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_BLOCK = 1 << 16
_WRONG = "thinkrec.wrong"
"""Error handler that gives, for bytes not in the encoding, what becomes the byte 0xFF, which is no UTF-8."""


def packing(path: Path) -> Packing:
    """How a file is packed, whatever its name says."""
    with path.open("rb") as file:
        head = file.read(4)
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "uncompressed")


def _unpacked(path: Path, raw: IO[bytes]) -> IO[bytes]:
    """The bytes of an opened file, out of its packing; checksums are checked."""
    kind = packing(path)
    if kind == "gzip":
        from isal import igzip

        return igzip.open(raw, "rb")
    if kind == "zstd":
        import pyarrow as pa

        return pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")
    return raw


def read_blocks(path: Path, bar: Bar | None = None, size: int = _BLOCK) -> Iterator[bytes]:
    """The bytes of a file, out of gzip or zstd, in blocks; `bar` follows the file itself.

    Raises:
        DataError: the packed stream is broken.
    """
    from isal.isal_zlib import error as isal_error

    try:
        with path.open("rb") as raw, _unpacked(path, raw) as file:
            while data := file.read(size):
                if bar is not None:
                    bar.update(raw.tell() - bar.n)
                yield data
    except EOFError:
        raise cut_gzip(path) from None
    except (OSError, zlib.error, isal_error) as error:  # type: ignore[misc]
        if isinstance(error, OSError) and error.errno:
            raise
        raise DataError(f"{path} is broken inside ({error}): load it again") from None


@contextmanager
def naming_broken(files: Iterable[Path]) -> Iterator[None]:
    """Name the file whose packed stream is broken, where what reads it does not.

    Raises:
        DataError: the block's own, or that of the first of `files` that can't be unpacked.
    """
    try:
        yield
    except DataError as error:
        if "stream" in str(error):
            for path in files:
                for _ in read_blocks(path):
                    pass
        raise


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error(_WRONG, _mark)


def read_utf8(path: Path, encoding: str, size: int) -> Iterator[bytes]:
    """The text of a file in UTF-8, in blocks, without a byte order mark.

    Where its bytes are not in its encoding, what comes out is no valid UTF-8 either.

    Raises:
        DataError: the packed stream is broken.
    """
    if codecs.lookup(encoding).name == "utf-8":
        first = True
        for data in read_blocks(path, size=size):
            yield data.removeprefix(codecs.BOM_UTF8) if first else data
            first = False
        return
    decoder = codecs.getincrementaldecoder(encoding)(_WRONG)
    for data in read_blocks(path, size=size):
        yield decoder.decode(data).encode("utf-8", "surrogateescape")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogateescape")
