"""Peak memory of `prep` compared with `prep.max_memory`, on files that stress it.

Endless lines of every text format, plain and compressed; array elements, records, and quarantined texts of
many megabytes; millions of generated Yelp reviews. Each run is a fresh process, whose peak is VmHWM. What
can't be read within the limit must be rejected with a correct message.

    python benchmarks/prep_memory.py WORK [--megabytes 300] [--reviews 200000] [--memory 600MB] [--only NAME]
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import IO, Any, NamedTuple

import generated
import pyarrow as pa
import pyarrow.parquet as pq

GOAL = 1.3
"""Maximum of peak memory over prep.max_memory."""
CALL = """
import json, sys
sys.path.insert(0, sys.argv[1])
import prep_memory
prep_memory.with_stage(**json.loads(sys.argv[2]))
"""
MEGABYTE = 1_000_000
START = 1_600_000_000
HEADER = b"user,item,rating,timestamp\n"
Write = Callable[[Path, int], dict[str, Any]]
"""(folder, bytes) -> writes raw files of that size and returns their settings for params.yaml."""


def with_stage(source: dict[str, Any], memory: str, out: str) -> None:
    """Run the stage as the command does; print its outcome."""
    from pydantic import TypeAdapter

    from thinkrec.config.sections import Prep
    from thinkrec.config.sources import Source
    from thinkrec.data.prepare import prepare
    from thinkrec.errors import ThinkrecError
    from thinkrec.layout import Layout

    section: Any = TypeAdapter(Source).validate_python(source)
    try:
        facts = prepare(Layout("large", Path(out)), section, Prep(max_memory=memory, max_bad_rows=0.9))
        print(f"{sum(entry['given'] for entry in facts['files'].values()):,} rows")
    except ThinkrecError as error:
        print(f"{type(error).__name__}: {error}")
    # ru_maxrss would include the memory of the parent process.
    print(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])


def _packed(path: Path) -> IO[Any]:
    if path.suffix == ".gz":
        return gzip.open(path, "wb", compresslevel=1)
    if path.suffix == ".zst":
        return pa.CompressedOutputStream(str(path), "zstd")
    return path.open("wb")


class Line(NamedTuple):
    """A line of 15 MB: a head, a repeated part, a tail."""

    head: bytes
    sign: bytes
    end: bytes = b"\n"

    def text(self) -> bytes:
        """Build the line, late, as a child's peak memory includes its parent's."""
        return self.head + self.sign * (15_000_000 // len(self.sign)) + self.end


def _repeated(part: bytes, size: int) -> Iterator[bytes]:
    """Repeat a part up to a number of bytes."""
    block = part * max(1, MEGABYTE // len(part))
    for _ in range(max(1, size // len(block))):
        yield block


def _csv_rows(rows: int = 600) -> bytes:
    return b"".join(b"u%d,i%d,%d,%d\n" % (n % 5, n % 7, 1 + n % 5, START + 60 * n) for n in range(rows))


def _json_rows(rows: int = 600) -> bytes:
    names = ("user", "item", "rating", "timestamp")
    rows_made = ((f"u{n % 5}", f"i{n % 7}", 1 + n % 5, START + 60 * n) for n in range(rows))
    return b"".join(json.dumps(dict(zip(names, row, strict=True))).encode() + b"\n" for row in rows_made)


def _one(name: str, head: bytes, part: bytes | Line, tail: bytes, **settings: Any) -> Write:
    """Make a writer of a file with a head, a repeated part and a tail."""

    def write(folder: Path, size: int) -> dict[str, Any]:
        with _packed(folder / name) as file:
            file.write(head)
            for block in _repeated(part if isinstance(part, bytes) else part.text(), size):
                file.write(block)
            file.write(tail)
        return {"reader": "custom", "ratings": name, "items": None, **settings}

    return write


def _movielens(folder: Path, size: int) -> dict[str, Any]:
    rows = b"".join(b"%d::%d::%d::%d\n" % (n % 5, n % 7, 1 + n % 5, START + 60 * n) for n in range(600))
    _one("ratings.dat", rows, b"1", b"\n" + rows)(folder, size)
    (folder / "movies.dat").write_bytes(b"".join(b"%d::Film (1999)::Drama\n" % n for n in range(7)))
    return {"reader": "ml1m", "split": {"rule": "share"}}


def _array(folder: Path, size: int) -> dict[str, Any]:
    elements = _json_rows().replace(b"\n", b",\n")
    return _one("r.json", b"[" + elements, b" ", b'{"user": "u1"}]')(folder, size)


def _texts(ending: str, kilobytes: int) -> Write:
    """Make a writer of items with long texts."""

    def write(folder: Path, size: int) -> dict[str, Any]:
        (folder / "r.csv").write_bytes(HEADER + _csv_rows())
        text = "some words, " * (kilobytes * 1000 // 12)
        rows = ({"item": f"i{n}", "title": f"{n} {text}"} for n in range(max(7, size // len(text))))
        if ending == "parquet":
            schema = pa.schema({"item": pa.string(), "title": pa.string()})
            with pq.ParquetWriter(folder / "i.parquet", schema) as file:
                for row in rows:
                    file.write_table(pa.Table.from_pylist([row], schema))
        else:
            with _packed(folder / f"i.{ending}") as lines:
                lines.writelines(json.dumps(row).encode() + b"\n" for row in rows)
        return {"reader": "custom", "ratings": "r.csv", "items": f"i.{ending}"}

    return write


def _one_group(megabytes: int, **options: Any) -> Write:
    """Make a writer of items with long texts in Parquet, all in one row group."""

    def write(folder: Path, size: int) -> dict[str, Any]:
        (folder / "r.csv").write_bytes(HEADER + _csv_rows())
        length = megabytes * MEGABYTE
        rows = max(7, size // length)
        pq.write_table(_long_titles(rows, length), folder / "i.parquet", store_schema=False, **options)
        return {"reader": "custom", "ratings": "r.csv", "items": "i.parquet"}

    return write


def _long_titles(rows: int, length: int) -> pa.Table:
    text = "some words, " * (length // 12)
    titles = pa.array([f"{n % 3} {text}" for n in range(3)]).dictionary_encode()
    taken = pa.DictionaryArray.from_arrays(
        pa.array([n % 3 for n in range(rows)], pa.int32()), titles.dictionary
    )
    return pa.table({"item": [f"i{n}" for n in range(rows)], "title": taken})


_STEM = b'{"user": "u1", "note": "'
CASES: dict[str, Write] = {
    "blanks, gzip": _one("r.json.gz", _json_rows(), b" ", b"\n" + _json_rows()),
    "blanks, zstd": _one("r.jsonl.zst", _json_rows(), b" ", b"\n" + _json_rows()),
    "blanks, plain": _one("r.jsonl", _json_rows(), b" ", b"\n" + _json_rows()),
    "JSON text, gzip": _one("r.json.gz", _json_rows() + _STEM, b"x", b'"}\n' + _json_rows()),
    "JSON text, plain": _one("r.json", _json_rows() + _STEM, b"x", b'"}\n' + _json_rows()),
    "first JSON line": _one("r.json", _STEM, b"x", b'"}\n' + _json_rows()),
    "array, blanks": _array,
    "array, text": _one("r.json.gz", b"[" + _STEM, b"x", b'"}]'),
    "CSV field": _one("r.csv", HEADER + _csv_rows() + b"u1,", b"x", b",1,1600000000\n" + _csv_rows()),
    "CSV field, gzip": _one("r.csv.gz", HEADER + _csv_rows() + b"u1,", b"x", b"\n" + _csv_rows()),
    "CSV header": _one("r.csv", HEADER[:-1] + b",", b"x", b"\n" + _csv_rows()),
    "CSV separators": _one("r.csv", HEADER + _csv_rows(), b",", b"\n" + _csv_rows()),
    "CSV quotes": _one("r.csv", HEADER + _csv_rows(), b'"",', b"\n" + _csv_rows()),
    "CSV open quote": _one("r.csv", HEADER + _csv_rows() + b'u1,"', b"x" * 99 + b"\n", b'",1,1600000000\n'),
    "CSV record of many lines": _one("r.csv", HEADER + _csv_rows(), b'"x\nx",', b'""\n' + _csv_rows()),
    "CSV line ends": _one("r.csv", HEADER + _csv_rows(), b"\n", _csv_rows()),
    "CSV, UTF-16": _one(
        "r.csv", (HEADER + _csv_rows()).decode().encode("utf-16-le"), b"x\0", b"\n\0", encoding="utf-16-le"
    ),
    "TSV without quotes": _one("r.tsv", HEADER.replace(b",", b"\t"), b"\t", b"\n", quote=""),
    "separator of two": _one("r.dat", HEADER.replace(b",", b"::"), b":", b"\n" + _csv_rows()),
    "CSV separators, 15 MB a line": _one(
        "r.csv.gz", HEADER + _csv_rows(), Line(b"", b","), _csv_rows()
    ),
    "CSV quotes, 15 MB a line": _one(
        "r.csv.gz", HEADER + _csv_rows(), Line(b"", b'"",'), _csv_rows()
    ),
    "CSV letters, 15 MB a line": _one(
        "r.csv.gz", HEADER + _csv_rows(), Line(b"", b'ab,"",'), _csv_rows()
    ),
    "CSV open quotes before blank lines": _one(
        "r.csv.gz", HEADER + _csv_rows(), Line(b'"', b"\n"), _csv_rows()
    ),
    "CSV header, 15 MB": _one("r.csv.gz", HEADER[:-1], Line(b"", b",a"), _csv_rows()),
    "CSV lines of one sign": _one("r.csv.gz", HEADER + _csv_rows(), b"x\n\xff\n", _csv_rows()),
    "right CSV, 15 MB a line": _one(
        "r.csv.gz", HEADER[:-1] + b",note\n",
        Line(b"u1,i1,3,1600000000,", b"x"),
        b"".join(line + b",\n" for line in _csv_rows().splitlines()),
    ),
    "items, texts of 10 MB": _texts("json.gz", 10_000),
    "items, texts of 100 KB": _texts("json.gz", 100),
    "items, Parquet, texts of 10 MB": _texts("parquet", 10_000),
    "items, Parquet, one group, titles of 30 MB": _one_group(30),
    "items, Parquet, one group, titles of 10 MB": _one_group(10),
    "items, Parquet, one group, titles of 10 MB, no dictionary": _one_group(
        10, use_dictionary=False, write_batch_size=1
    ),
    "items, Parquet, one group, titles of 10 MB, one page": _one_group(10, use_dictionary=False),
    "MovieLens": _movielens,
    "bad JSON of 15 MB a line": _one("r.json.gz", _json_rows(), Line(b"{", b"x"), _json_rows()),
    "bad CSV of 15 MB a line": _one("r.csv.gz", HEADER + _csv_rows(), Line(b"", b"x"), _csv_rows()),
    "right JSON of 15 MB a line": _one(
        "r.json.gz", _json_rows(),
        Line(_json_rows(1)[:-2] + b', "note": "', b"x", b'"}\n'), _json_rows(),
    ),
}  # fmt: skip
YELP = "Yelp, reviews"


def _yelp(folder: Path, reviews: int) -> dict[str, Any]:
    generated.write_yelp(folder, generated.Shape(reviews, max(reviews // 20, 100)))
    return {"reader": "yelp", "split": {"rule": "date", "train_until": "2017-02-28"}}


def measured(source: dict[str, Any], memory: str, out: Path) -> tuple[str, float, float]:
    """Run in a fresh process; return its outcome, seconds and peak memory (bytes)."""
    values = json.dumps({"source": source, "memory": memory, "out": str(out)})
    command = [sys.executable, "-c", CALL, str(Path(__file__).parent), values]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stderr is not None
        output, _ = child.stdout.read(), child.stderr.read()
    if child.returncode:
        return f"ends with status {child.returncode}", time.perf_counter() - start, float("inf")
    result, _, peak = output.strip().rpartition("\n")
    return result, time.perf_counter() - start, int(peak) * 1024.0


def main() -> None:
    """Print the table; exit with status 1 if a run exceeded the goal."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--reviews", type=int, default=200_000)
    parser.add_argument("--memory", default="600MB")
    parser.add_argument("--only", nargs="+", default=[*CASES, YELP])
    given = parser.parse_args()
    bound = _bytes(given.memory)
    print(
        f"{date.today()}, {os.cpu_count()} cores, prep.max_memory: {given.memory}, "
        f"{given.megabytes} MB a file"
    )
    print("| file | seconds | peak memory, MB | times prep.max_memory | ends with |\n|---|---|---|---|---|")
    worst = 0.0
    for name in given.only:
        folder = given.work / "prep_memory"
        shutil.rmtree(folder, ignore_errors=True)
        raw = folder / "raw"
        raw.mkdir(parents=True)
        source = _yelp(raw, given.reviews) if name == YELP else CASES[name](raw, given.megabytes * MEGABYTE)
        output, seconds, peak = measured({"raw": str(raw), **source}, given.memory, folder)
        worst = max(worst, peak / bound)
        output = output.replace(str(raw) + "/", "")
        print(
            f"| {name} | {seconds:.1f} | {peak / MEGABYTE:.0f} | {peak / bound:.2f} | {output} |", flush=True
        )
        shutil.rmtree(folder)
    print(f"The most: {worst:.2f} times; goal: {GOAL}")
    sys.exit(worst > GOAL)


def _bytes(memory: str) -> int:
    from thinkrec.config.base import parse_size

    return parse_size(memory)


if __name__ == "__main__":
    main()
