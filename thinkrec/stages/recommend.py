"""Recommend to many users: to a Parquet file, resumable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from thinkrec.files import remove, whole
from thinkrec.journal import Journal
from thinkrec.layout import Layout
from thinkrec.progress import Bar
from thinkrec.systems.answers import Question, Scores

if TYPE_CHECKING:
    from thinkrec.recommender import Recommender

TOGETHER = 8
"""Users of one batch, which is scored, then noted (our choice)."""
COLUMNS = pa.schema(
    {
        "user": pa.string(),
        "rank": pa.int32(),
        "item": pa.string(),
        "title": pa.string(),
        "score": pa.float32(),
        "reason": pa.string(),
        "mixture": pa.list_(pa.float32()),
        "error": pa.string(),
    }
)
"""Columns of the file: a row for each recommended item, or one with `error` for a user without an answer."""


def recommend_to_file(
    rec: Recommender, layout: Layout, users: Sequence[str], asked: Question, to: Path
) -> dict[str, int]:
    """Recommend to many users and write the answers to a Parquet file.

    Answers are noted beside the file as they come. Run again with the same request and the same artifacts, it
    goes on where it was stopped.

    Args:
        rec: the system.
        layout: of its data set.
        users: raw ids, each once.
        asked: candidates, `k` and `why`; its user is replaced.
        to: the file, with the columns of `COLUMNS`.

    Returns:
        Counts: users, users without an answer, rows.

    Raises:
        StorageError: a file can't be written.
    """
    journal = Journal(to.with_name(f"{to.name}.unfinished"))
    key = _key(rec, layout, users, asked)
    if set(journal.read(lambda line: json.loads(line)["key"])) - {key} and journal.path:
        remove(journal.path)
    done = {entry["user"]: entry["rows"] for entry in journal.read(json.loads)}
    left = [user for user in users if user not in done]
    with Bar(total=len(users), desc="recommend", unit="user", initial=len(done)) as bar:
        for start in range(0, len(left), TOGETHER):
            some = left[start : start + TOGETHER]
            questions = [Question(user, None, asked.items, asked.k, asked.why) for user in some]
            found = {
                user: list(_rows(user, answer))
                for user, answer in zip(some, rec.answer(questions), strict=True)
            }
            journal.add(
                json.dumps({"key": key, "user": user, "rows": rows}, ensure_ascii=False)
                for user, rows in found.items()
            )
            done |= found
            bar.update(len(some))
    rows = [row for user in users for row in done[user]]
    with whole(to) as beside:
        pq.write_table(pa.Table.from_pylist(rows, COLUMNS), beside, compression="zstd")
    if journal.path:
        remove(journal.path)
    return {"users": len(users), "without_answer": sum("error" in row for row in rows), "rows": len(rows)}


def _rows(user: str, answer: Scores | Exception) -> Iterator[dict[str, Any]]:
    """Rows of one user's answer; absent columns are null."""
    if isinstance(answer, Exception):
        yield {"user": user, "error": str(answer)}
        return
    shared = {"user": user} | ({} if answer.mixture is None else {"mixture": list(answer.mixture.weights)})
    reasons = answer.reasons or [None] * len(answer)
    lines = zip(answer.items, answer.titles, answer.scores.tolist(), reasons, strict=True)
    for rank, (item, title, score, reason) in enumerate(lines, 1):
        yield shared | {"rank": rank, "item": item, "title": title, "score": score, "reason": reason}


def _key(rec: Recommender, layout: Layout, users: Sequence[str], asked: Question) -> str:
    """Hash of the request and of the manifests of all artifacts."""
    said = [rec.name, layout.dataset, list(users), asked.items, asked.k, asked.why]
    sha = hashlib.sha256(json.dumps(said, default=list).encode())
    for path in sorted(layout.manifest("prep").parent.glob("*.json")):
        sha.update(path.read_bytes())
    return sha.hexdigest()[:16]
