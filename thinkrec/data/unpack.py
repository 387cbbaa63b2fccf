"""Raw files as bytes, decompressed and converted to UTF-8."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from thinkrec.data.database import truncated_gzip
from thinkrec.errors import DataError
from thinkrec.progress import Bar

Compression = Literal["uncompressed", "gzip", "zstd"]
"""DuckDB's names."""
_MAGIC: dict[bytes, Compression] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_BLOCK = 1 << 16
_ERROR_HANDLER = "thinkrec.wrong"
"""Error handler that turns undecodable bytes into 0xFF, which is invalid in UTF-8."""


def compression(path: Path) -> Compression:
    """Detect a file's compression from its content."""
    with path.open("rb") as file:
        head = file.read(4)
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "uncompressed")


def _decompressed(path: Path, raw: IO[bytes]) -> IO[bytes]:
    """Open a decompressed view of a file that verifies checksums."""
    method = compression(path)
    if method == "gzip":
        from isal import igzip

        return igzip.open(raw, "rb")
    if method == "zstd":
        import pyarrow as pa

        return pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")
    return raw


def read_blocks(path: Path, bar: Bar | None = None, size: int = _BLOCK) -> Iterator[bytes]:
    """Yield a file's decompressed bytes in blocks; `bar` counts compressed bytes.

    Raises:
        DataError: the compressed stream is broken.
    """
    from isal.isal_zlib import error as isal_error

    try:
        with path.open("rb") as raw, _decompressed(path, raw) as file:
            while data := file.read(size):
                if bar is not None:
                    bar.update(raw.tell() - bar.n)
                yield data
    except EOFError:
        raise truncated_gzip(path) from None
    except (OSError, zlib.error, isal_error) as error:  # type: ignore[misc]
        if isinstance(error, OSError) and error.errno:
            raise
        raise DataError(f"{path} is broken inside ({error}): download it again") from None


@contextmanager
def naming_broken(files: Iterable[Path]) -> Iterator[None]:
    """Name the file whose compressed stream is broken if the original error does not.

    Raises:
        DataError: the original error, or that of the first of `files` that can't be decompressed.
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


codecs.register_error(_ERROR_HANDLER, _mark)


def read_utf8(path: Path, encoding: str, size: int) -> Iterator[bytes]:
    """Yield a file's text in UTF-8 in blocks, without a byte order mark.

    Undecodable bytes become invalid UTF-8.

    Raises:
        DataError: the compressed stream is broken.
    """
    if codecs.lookup(encoding).name == "utf-8":
        first = True
        for data in read_blocks(path, size=size):
            yield data.removeprefix(codecs.BOM_UTF8) if first else data
            first = False
        return
    decoder = codecs.getincrementaldecoder(encoding)(_ERROR_HANDLER)
    for data in read_blocks(path, size=size):
        yield decoder.decode(data).encode("utf-8", "surrogateescape")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogateescape")
