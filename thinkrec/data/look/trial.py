"""A dry run of `prep` on a user's files, or on the beginning of large ones."""

from __future__ import annotations

import logging
from itertools import islice
from pathlib import Path
from typing import Any

from thinkrec.config.sections import Prep
from thinkrec.data.look import Looked
from thinkrec.data.prepare import prepare
from thinkrec.data.unpack import read_blocks
from thinkrec.errors import ThinkrecError
from thinkrec.layout import Layout

LIMIT = 1 << 28
"""Bytes of a file, unpacked, that are read (256 MiB)."""
_BLOCK = 1 << 20
_BATCH_ROWS = 1 << 16


def try_prep(looked: Looked, name: str, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Run `prep` in a folder that nothing else uses.

    Args:
        looked: the files and how they are read.
        name: of the data set.
        folder: for the run.

    Returns:
        What prep says (`thinkrec.data.prepare`), and the names of files of which it read the beginning.

    Raises:
        ThinkrecError: prep fails; paths are those of the user's files.
    """
    raw = folder / "raw"
    raw.mkdir(parents=True)
    cut = [each for each, path in looked.files.items() if _bring(path, raw / each)]
    source = looked.source.model_copy(update={"raw": str(raw), "watch": str(raw)})
    if source.items in cut:  # the events' items may be in the rest
        source = source.model_copy(update={"items": None})
    log = logging.getLogger("thinkrec")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        return prepare(Layout(name, folder), source, Prep()), cut
    except ThinkrecError as error:
        said = _with_own_paths(str(error), looked, raw)
        raise type(error)(f"{said} (nothing was made; `--set KEY=VALUE` corrects what init found)") from error
    finally:
        log.setLevel(level)


def _with_own_paths(text: str, looked: Looked, raw: Path) -> str:
    """Name the user's files in a message instead of those of the run."""
    for name, path in looked.files.items():
        text = text.replace(str(raw / name), str(path))
    return text.replace(str(raw), str(looked.files[looked.source.ratings]))


def _bring(path: Path, place: Path) -> bool:
    """Link a file, or copy the beginning of a large one; return whether it was cut."""
    if path.stat().st_size > LIMIT and _is_parquet(path):
        return _cut_parquet(path, place)
    if _is_parquet(path) or not _is_longer(path):
        place.symlink_to(path.absolute())
        return False
    with place.open("wb") as file:
        blocks = list(islice(read_blocks(path, size=_BLOCK), LIMIT // _BLOCK))
        whole, end, rest = blocks[-1].rpartition(b"\n")
        file.writelines([*blocks[:-1], whole + end or rest])
    return True


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _is_longer(path: Path) -> bool:
    """Say whether an unpacked file is longer than LIMIT."""
    size = 0
    for block in read_blocks(path, size=_BLOCK):
        size += len(block)
        if size > LIMIT:
            return True
    return False


def _cut_parquet(path: Path, place: Path) -> bool:
    """Copy the first rows of a Parquet file, in proportion to LIMIT."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    rows = max(int(file.metadata.num_rows * LIMIT / path.stat().st_size), _BATCH_ROWS)
    with pq.ParquetWriter(place, file.schema_arrow) as writer:
        for batch in islice(file.iter_batches(_BATCH_ROWS), rows // _BATCH_ROWS):
            writer.write_batch(batch)
    return True
