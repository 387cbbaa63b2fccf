"""A dry run of `prep` on a user's files, or on the beginning of large ones."""

from __future__ import annotations

import logging
from itertools import islice
from math import ceil, floor
from pathlib import Path
from shlex import quote
from typing import Any

from thinkrec.config.sections import Prep
from thinkrec.data.look import Looked
from thinkrec.data.prepare import RANDOM_SPLIT, prepare
from thinkrec.data.quarantine import BadRowsError
from thinkrec.data.unpack import read_blocks
from thinkrec.errors import DataError, ThinkrecError
from thinkrec.layout import Layout

LIMIT = 1 << 28
"""Bytes of a file, unpacked, that are read (256 MiB)."""
MOST_BAD = 0.5
"""Highest share of a file's rows that init lets `prep` leave out by itself."""
_STEP = 0.05
"""The share that is allowed is the next multiple of this above the present one: files grow."""
_USUAL = (
    "unknown item", "duplicate", "rating is not a number", "rating outside", "rating is not finite",
    "label is not one of",
)  # fmt: skip
"""Beginnings of the reasons for which rows of good files can't be used."""
_BLOCK = 1 << 20
_BATCH_ROWS = 1 << 16


def bad_share(facts: dict[str, Any], usual: tuple[str, ...] = ()) -> float:
    """Return the highest share of a file's rows that `prep` left out as unusable.

    Args:
        facts: of the run.
        usual: beginnings of reasons that do not count.
    """
    return max(
        sum(n for why, n in counts["quarantined"].items() if not why.startswith(usual)) / counts["given"]
        for counts in facts["files"].values()
    )


def allowed(facts: dict[str, Any]) -> float:
    """Return the `prep.max_bad_rows` of a project: the default one, or a higher one.

    It is higher where rows lack a rating, or an item that the items' file lists, or are given twice; it stays
    where more rows than it allows are faulty otherwise.

    Args:
        facts: of a run of `prep`.
    """
    default, share = Prep().max_bad_rows, bad_share(facts)
    if share <= default or bad_share(facts, _USUAL) > default:
        return default
    return round((floor(share / _STEP) + 1) * _STEP, 2)


def try_prep(
    looked: Looked, name: str, folder: Path, max_bad_rows: float | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Run `prep` in a folder that nothing else uses.

    Args:
        looked: the files and how they are read.
        name: of the data set.
        folder: for the run.
        max_bad_rows: as `prep.max_bad_rows`; None: the default.

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
    prep = Prep() if max_bad_rows is None else Prep(max_bad_rows=max_bad_rows)
    log = logging.getLogger("thinkrec")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        return prepare(Layout(name, folder), source, prep), cut
    except BadRowsError as error:
        said = _with_own_paths(str(error), looked, raw)
        if error.share <= MOST_BAD:  # most times can be read: the advice on their unit is wrong
            said = said.replace(error.reason, error.reason.partition(": dates and times as text")[0])
        raise DataError(f"{said} (nothing was made; {_remedy(error)})") from error
    except ThinkrecError as error:
        said = _with_own_paths(str(error), looked, raw)
        option = f"--set {quote(RANDOM_SPLIT.replace(': ', '=', 1))}"
        said = said.replace(f"`{RANDOM_SPLIT}`", f"`{option}`")
        raise type(error)(f"{said} (nothing was made; `--set KEY=VALUE` corrects what init found)") from error
    finally:
        log.setLevel(level)


def _remedy(error: BadRowsError) -> str:
    """Say what helps where too many rows can't be used."""
    if error.share == 1 or not error.reason.startswith((*_USUAL, "timestamp cannot be read")):
        return "`--set KEY=VALUE` corrects what init found"
    rest = f"`--set max_bad_rows={min(ceil(error.share * 100) / 100, 1):g}` goes on without these rows"
    if error.reason == "unknown item":
        return f"give a file that lists all items, or leave --items out; {rest}"
    return f"`--set KEY=VALUE` corrects what init found; {rest}"


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
