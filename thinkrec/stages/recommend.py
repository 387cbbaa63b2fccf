"""Recommend to many users: to a Parquet file, resumable."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thinkrec.errors import RequestError
from thinkrec.files import check_writable, remove, whole
from thinkrec.journal import Journal
from thinkrec.layout import Layout
from thinkrec.progress import Bar
from thinkrec.systems.answers import Question, Scores

if TYPE_CHECKING:
    from thinkrec.recommender import Recommender

log = logging.getLogger(__name__)
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
) -> dict[str, int | str]:
    """Recommend to many users and write the answers to a Parquet file.

    Answers are noted beside the file as they come. Run again with the same request and the same artifacts,
    also for other users, it goes on where it was stopped.

    Args:
        rec: the system.
        layout: of its data set.
        users: raw ids.
        asked: candidates, `k` and `why`; its user is replaced.
        to: the file, with the columns of `COLUMNS`.

    Returns:
        Counts of users, of users without an answer, and of rows; and the first error, where there is one.

    Raises:
        RequestError: nobody could be answered, or `to` is another file.
        StorageError: a file can't be written.
    """
    _check_free(to)
    check_writable(to)
    rec.check(replace(asked, user=None, history={}))
    key = _key(rec, layout, asked)
    journal = Journal(to.with_name(f"{to.name}.unfinished"))
    noted = journal.read(_parsed)
    parts = [part for own, part in noted if own == key]
    if len(parts) < len(noted):
        log.warning("%s holds answers to another request, which are asked again", journal.path)
    done = {user for part in parts for user in part["user"].to_pylist()}
    users = list(dict.fromkeys(_as_known(rec, user) for user in users))
    left = [user for user in users if user not in done]
    with Bar(total=len(users), desc="recommend", unit="user", initial=len(users) - len(left)) as bar:
        for start in range(0, len(left), TOGETHER):
            some = left[start : start + TOGETHER]
            known = [user for user in some if user in rec.users]
            answers = dict(zip(known, rec.answer([replace(asked, user=user) for user in known]), strict=True))
            rows = [row for user in some for row in _rows(user, answers.get(user, _unknown(rec, user)))]
            journal.add([json.dumps({"key": key, "rows": rows}, ensure_ascii=False)])
            parts.append(pa.Table.from_pylist(rows, COLUMNS))
            bar.update(len(some))
    table = _in_order(pa.concat_tables(parts), users)
    errors = table["error"].drop_null()
    if len(errors) == len(users):
        if journal.path:
            remove(journal.path)
        hint = (
            "" if users[0] in rec.users else "; the file must have one user's id on each line, and no header"
        )
        raise RequestError(f"none of the {len(users)} users could be answered; the first: {errors[0]}{hint}")
    with whole(to) as beside:
        pq.write_table(table, beside, compression="zstd")
    if journal.path:
        remove(journal.path)
    counts: dict[str, int | str] = {
        "users": len(users),
        "without_answer": len(errors),
        "rows": len(table),
    }
    return counts | ({"first_error": errors[0].as_py()} if len(errors) else {})


def _as_known(rec: Recommender, user: str) -> str:
    """A user's id as the data set has it; as it was given where there is none."""
    return user if rec.users.find(user) is None else rec.users.name(user)


def _unknown(rec: Recommender, user: str) -> RequestError:
    """The error of a user who is not there; without near ids, since the file is for others to read."""
    return rec.users.unknown(user, hint=False)


def _check_free(to: Path) -> None:
    """Check that a file may be written: it is not there, or holds such answers.

    Raises:
        RequestError: it is another file.
    """
    if not to.exists():
        return
    try:
        ours = pq.read_schema(to).names == COLUMNS.names
    except (OSError, pa.ArrowInvalid):
        ours = False
    if not ours:
        raise RequestError(f"{to} is there and holds no recommendations: name a new file by --to")


def _parsed(line: bytes) -> tuple[str, pa.Table]:
    entry = json.loads(line)
    return entry["key"], pa.Table.from_pylist(entry["rows"], COLUMNS)


def _in_order(table: pa.Table, users: Sequence[str]) -> pa.Table:
    """The rows of these users, in their order, each once."""
    place = pc.index_in(table["user"], pa.array(users, pa.string()))
    table = table.append_column("place", place).filter(pc.is_valid(place))
    table = table.sort_by([("place", "ascending"), ("rank", "ascending")])
    same = pc.and_(
        pc.equal(table["place"][1:], table["place"][:-1]),
        pc.fill_null(pc.equal(table["rank"][1:], table["rank"][:-1]), True),
    )
    first = pa.chunked_array([pa.array([True] * (len(table) > 0)), *pc.invert(same).chunks])
    return table.filter(first).drop_columns("place")


def _rows(user: str, answer: Scores | RequestError) -> Iterator[dict[str, Any]]:
    """Rows of one user's answer; absent columns are null."""
    if isinstance(answer, RequestError):
        yield {"user": user, "error": str(answer)}
        return
    shared = {"user": user} | ({} if answer.mixture is None else {"mixture": list(answer.mixture.weights)})
    for rank, row in enumerate(answer.rows(), 1):
        yield shared | {"rank": rank} | row


def _key(rec: Recommender, layout: Layout, asked: Question) -> str:
    """Hash of the request, but for its users, and of the manifests of all artifacts."""
    said = [rec.name, layout.dataset, asked.items, asked.k, asked.why]
    sha = hashlib.sha256(json.dumps(said, default=list).encode())
    for path in sorted(layout.manifest("prep").parent.glob("*.json")):
        sha.update(path.read_bytes())
    return sha.hexdigest()[:16]
