"""Generate raw files in the Amazon (2018) and Yelp schemas, of any size, with realistic dirt.

Ids, words, stars and timestamps are random. The files are for tests and benchmarks of `prep` at full size; no
accuracy is measured on them.

    python benchmarks/generated.py amazon FOLDER REVIEWS ITEMS [share of dirty rows]
    python benchmarks/generated.py yelp FOLDER REVIEWS ITEMS [share of dirty rows]
"""

from __future__ import annotations

import json
import string
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from thinkrec.progress import Bar

BLOCK = 20_000
DAY = 86_400
FIRST_DAY, LAST_DAY = 14_610, 17_805  # 2010-01-01 to 2018-09-30, as days since 1970


@dataclass(frozen=True)
class Shape:
    """Size of a generated source.

    Args:
        reviews: rows of the review file, including dirty ones.
        items: distinct items in the metadata.
        users: maximum of distinct users; 0: three tenths of the reviews.
        dirt: share of dirty rows in both files.
        seed: random seed; the same seed gives the same bytes.
    """

    reviews: int
    items: int
    users: int = 0
    dirt: float = 0.01
    seed: int = 7


@dataclass
class Truth:
    """Number of rows per file, and of faults by kind."""

    given: Counter[str] = field(default_factory=Counter)
    faults: dict[str, Counter[str]] = field(default_factory=dict)

    def fault(self, file: str, kind: str) -> None:
        """Count a dirty row."""
        self.faults.setdefault(file, Counter())[kind] += 1


@contextmanager
def _sink(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing, through a gzip process if it ends in .gz."""
    with path.open("wb") as file:
        if path.suffix != ".gz":
            yield file
            return
        with subprocess.Popen(["gzip", "-c"], stdin=subprocess.PIPE, stdout=file) as packer:
            assert packer.stdin is not None
            yield packer.stdin
            packer.stdin.close()
        assert packer.returncode == 0


class _Words:
    """Random words with Zipfian frequencies, and texts of them."""

    def __init__(self, rng: np.random.Generator) -> None:
        letters = np.array(list(string.ascii_lowercase))
        self._words = ["".join(rng.choice(letters, rng.integers(2, 10))) for _ in range(8000)]
        share = 1 / np.arange(1, 8001)
        self._share = np.cumsum(share / share.sum())
        self._rng = rng

    def text(self, min_words: int, max_words: int) -> str:
        """Generate a text of `min_words` to `max_words` words, capitalised."""
        picked = np.searchsorted(self._share, self._rng.random(self._rng.integers(min_words, max_words + 1)))
        return " ".join([self._words[place] for place in picked]).capitalize()


def _ids(count: int, length: int, head: str) -> list[str]:
    """Generate distinct ids of one length in capitals and digits."""
    signs, size = string.digits + string.ascii_uppercase, 36 ** (length - len(head))
    step = size * 618 // 1000 // 6 * 6 + 1  # coprime to 36, so that ids are distinct
    ids = []
    for number in range(count):
        rest, left = "", (number * step) % size
        for _ in range(length - len(head)):
            left, place = divmod(left, 36)
            rest += signs[place]
        ids.append(head + rest)
    return ids


Row = tuple[str, str, int, int, str]
"""User, item, stars, timestamp (s), text."""
Line = Callable[[Row, int], bytes]


def _rows(shape: Shape, users: list[str], items: list[str], texts: list[str]) -> Iterator[Row]:
    """Yield clean reviews: skewed users and items, 60 % with five stars, uniform days."""
    rng = np.random.default_rng([shape.seed, 1])
    left = shape.reviews
    while left > 0:
        size = min(left, BLOCK)
        left -= size
        user = (rng.random(size) ** 2 * len(users)).astype(int).tolist()
        item = (rng.random(size) ** 2 * len(items)).astype(int).tolist()
        stars = rng.choice([1, 2, 3, 4, 5], size, p=[0.06, 0.05, 0.09, 0.2, 0.6]).tolist()
        moment = rng.integers(FIRST_DAY * DAY, LAST_DAY * DAY, size).tolist()
        text = rng.integers(0, len(texts), size).tolist()
        for u, i, s, m, t in zip(user, item, stars, moment, text, strict=True):
            yield users[u], items[i], s, m, texts[t]


def _spoiled(rows: Iterator[Row], line: Line, shape: Shape, file: str, truth: Truth) -> Iterator[bytes]:
    """Yield lines of the rows, a share `dirt` of them with a fault, each kind in turn."""
    rng = np.random.default_rng([shape.seed, 2])
    kinds = (
        "no rating",
        "null user",
        "no time",
        "not JSON",
        "not UTF-8",
        "repeated",
        "no metadata",
        "no object",
    )
    made = 0
    before: bytes | None = None
    dirty: set[int] = set()
    for number, row in enumerate(rows):
        if number % BLOCK == 0:
            dirty = set((np.flatnonzero(rng.random(BLOCK) < shape.dirt) + number).tolist())
        if number not in dirty:
            before = line(row, number)
            yield before
            continue
        kind = kinds[made % len(kinds)]
        if kind == "repeated" and before is None:
            kind = "not JSON"
        made += 1
        truth.fault(file, kind)
        yield before if kind == "repeated" and before is not None else _dirty(kind, row, line, number)
        if kind != "repeated":
            before = None


def _dirty(kind: str, row: Row, line: Line, number: int) -> bytes:
    user, _, stars, moment, text = row
    if kind == "no metadata":
        return line((user, "NOMETADATA", stars, moment, text), number)
    clean = line(row, number)
    if kind == "not JSON":
        return clean[: len(clean) // 2] + b"\n"
    if kind == "not UTF-8":
        return clean.replace(text.encode(), b"caf\xe9 " + text.encode(), 1)
    if kind == "no object":
        return b"[]\n"
    record = json.loads(clean)
    names = {"no rating": ("overall", "stars"), "null user": ("reviewerID", "user_id")}
    for name in names.get(kind, ("unixReviewTime", "date")):
        if name in record:
            record.pop(name)
            if kind == "null user":
                record[name] = None
    return json.dumps(record).encode() + b"\n"


def _write(path: Path, lines: Iterator[bytes], total: int, truth: Truth) -> None:
    with _sink(path) as file, Bar(total=total, desc=path.name, unit="row") as bar:
        block = []
        for line in lines:
            block.append(line)
            truth.given[path.name] += 1
            if len(block) == BLOCK:
                file.write(b"".join(block))
                bar.update(len(block))
                block.clear()
        file.write(b"".join(block))
        bar.update(len(block))


def _amazon_line(row: Row, number: int) -> bytes:
    user, item, stars, moment, text = row
    style = '"style": {"Format:": " Kindle Edition"}, ' if number % 3 else ""
    vote = '"vote": "3", ' if number % 11 == 0 else ""
    return (
        f'{{"overall": {stars}.0, {vote}"verified": true, "reviewTime": "06 17, 2017", '
        f'"reviewerID": "{user}", '
        f'"asin": "{item}", {style}"reviewerName": "A \\"B\\" Caf\\u00e9", "reviewText": "{text}", '
        f'"summary": "{text[:20]}", "unixReviewTime": {moment - moment % DAY}}}\n'
    ).encode()


def _metadata(shape: Shape, items: list[str], category: str, file: str, truth: Truth) -> Iterator[bytes]:
    """Yield one line per item; dirty ones are duplicated asins and page scripts."""
    rng = np.random.default_rng([shape.seed, 3])
    words = _Words(rng)
    titles = [words.text(2, 9) for _ in range(4000)]
    descriptions = [words.text(40, 160) for _ in range(4000)]
    made = 0
    for number, item in enumerate(items):
        title = f"{titles[number % 4000]} {number}"
        description = f"<b>{descriptions[number * 7 % 4000]}</b><br />\\nMore &amp; more"
        levels = f'"{category}", "{titles[number % 40]}", "{titles[number % 400]}</span></span>"'
        levels = (f"[{levels}]", f"[[{levels}]]", f'"{titles[number % 40]}"')[number % 10 % 8 % 3]
        price = ("$12.99", "", ".a-section { color: red }")[number % 3]
        line = (
            f'{{"category": {levels}, "tech1": "", "description": ["{description}", ""], "fit": "", '
            f'"title": "<span>{title}</span>\\n ", "also_buy": ["0000000000"], "tech2": "", '
            f'"brand": "Visit <a href=\\"/x\\">{titles[number % 900]}</a>", "feature": [], "rank": "1,023 in '
            f'{category} (", "also_view": [], "details": {{"ASIN: ": "{item}"}}, "main_cat": "{category}", '
            f'"similar_item": "", "date": "", "price": "{price}", "asin": "{item}", "imageURL": [], '
            f'"imageURLHighRes": []}}\n'
        )
        dirty = rng.random() < shape.dirt
        kind = ("debris", "duplicate", "missing fields")[made % 3] if dirty else ""
        made += dirty
        if kind == "duplicate":  # the first of the two must lose
            yield line.replace(title, "An older title").encode()
            truth.fault(file, kind)
        elif kind == "debris":  # the same asin again, as a page's script: it must not win
            yield line.encode()
            line = line.replace(title, "var aPageStart = (new Date()).getTime();")
            truth.fault(file, kind)
        elif kind == "missing fields":
            line = (
                json.dumps({"asin": item, "title": title, "description": "One string", "category": None})
                + "\n"
            )
        yield line.encode()


def write_amazon(folder: Path, shape: Shape, category: str = "Books", ending: str = ".json.gz") -> Truth:
    """Write reviews and metadata of a category; says how many rows have which fault."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, truth = np.random.default_rng([shape.seed, 0]), Truth()
    words = _Words(rng)
    users, items = _ids(shape.users or shape.reviews * 3 // 10, 14, "A"), _ids(shape.items, 10, "B00")
    texts = [words.text(3, 94) for _ in range(30_000 if shape.reviews > 100_000 else 300)]
    meta, reviews = folder / f"meta_{category}{ending}", folder / f"{category}{ending}"
    _write(meta, _metadata(shape, items, category, meta.name, truth), shape.items, truth)
    lines = _spoiled(_rows(shape, users, items, texts), _amazon_line, shape, reviews.name, truth)
    _write(reviews, lines, shape.reviews, truth)
    return truth


def _yelp_line(row: Row, number: int) -> bytes:
    user, item, stars, moment, text = row
    when = str(np.datetime64(moment, "s")).replace("T", " ")
    return (
        f'{{"review_id":"r{number:021d}","user_id":"{user}","business_id":"{item}","stars":{stars}.0,"useful":1,'
        f'"funny":0,"cool":1,"text":"{text}\\n\\n{text[:90]} w\\/ \\u00e9","date":"{when}"}}\n'
    ).encode()


def _businesses(shape: Shape, items: list[str], file: str, truth: Truth) -> Iterator[bytes]:
    rng = np.random.default_rng([shape.seed, 3])
    words = _Words(rng)
    names = [words.text(1, 4) for _ in range(4000)]
    for number, item in enumerate(items):
        record = {
            "business_id": item,
            "name": f"{names[number % 4000]} & Co {number}",
            "address": f"{number} Main St" if number % 9 else "",
            "city": "Affton",
            "state": "MO",
            "postal_code": "63123",
            "latitude": 38.5,
            "longitude": -90.3,
            "stars": 3.5,
            "review_count": 15,
            "is_open": 1,
            "attributes": {"BikeParking": "True", "WiFi": "u'free'", "HasTV": "False",
                           "BusinessParking": "{'garage': False, 'street': True}"} if number % 5 else None,
            "categories": ", ".join(names[(number * k) % 90] for k in (1, 2, 3)) if number % 50 else None,
            "hours": {"Monday": "8:0-18:30"} if number % 3 else None,
        }  # fmt: skip
        yield json.dumps(record).replace("/", "\\/").encode() + b"\n"
        if rng.random() < shape.dirt:  # the second of the two must lose
            yield json.dumps({**record, "name": "A newer name"}).replace("/", "\\/").encode() + b"\n"
            truth.fault(file, "duplicate")


def write_yelp(folder: Path, shape: Shape) -> Truth:
    """Write businesses and reviews; says how many rows have which fault."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, truth = np.random.default_rng([shape.seed, 0]), Truth()
    words = _Words(rng)
    users, items = _ids(shape.users or shape.reviews * 3 // 10, 22, "u_"), _ids(shape.items, 22, "b-")
    texts = [words.text(20, 130) for _ in range(30_000 if shape.reviews > 100_000 else 300)]
    businesses = folder / "yelp_academic_dataset_business.json"
    reviews = folder / "yelp_academic_dataset_review.json"
    _write(businesses, _businesses(shape, items, businesses.name, truth), shape.items, truth)
    lines = _spoiled(_rows(shape, users, items, texts), _yelp_line, shape, reviews.name, truth)
    _write(reviews, lines, shape.reviews, truth)
    return truth


def main() -> None:
    """Write one source and print what it holds."""
    source, folder, reviews, items, *dirt = sys.argv[1:]
    shape = Shape(int(reviews), int(items), dirt=float(dirt[0]) if dirt else 0.01)
    truth = {"amazon": write_amazon, "yelp": write_yelp}[source](Path(folder), shape)
    print(json.dumps({"given": truth.given, "faults": truth.faults}, indent=1))


if __name__ == "__main__":
    main()
