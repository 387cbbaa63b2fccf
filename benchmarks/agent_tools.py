"""Milliseconds per call of each of the agent's tools on generated data of any size, and loading times.

    python benchmarks/agent_tools.py [--rows 7000000] [--items 150000] [--users 2000000] [--cases 500]

The defaults are Yelp's size before filtering. Tables are random, written by another process, with
popularity as skewed as on Yelp (the most popular item has about 7,700 of 7 million interactions). Then
`Knowledge` is loaded as in the stages, cases are drawn from the last tenth, and every tool is called once
per case for all ten candidates, with cold caches. Both wall time and CPU time are shown.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from thinkrec.agent.cases import Case, draw_cases
from thinkrec.agent.environment import TOOLS, Environment
from thinkrec.agent.knowledge import Knowledge, descriptions, load_graph
from thinkrec.config.agent import Agent
from thinkrec.data.moments import SECOND
from thinkrec.data.tables import SPLITS, Interactions, Items
from thinkrec.runs import peak_memory_mb

SEED, AIM, CANDIDATES, WIDTH = 7, 5.0, 10, 64
YEARS = 9 * 365 * 86_400
UNEVEN_ITEMS, UNEVEN_USERS = 1.75, 2.5
RELATIONS = {"category": (5, 1300), "city": (1, 1200), "attribute": (10, 80)}
"""Number of attributes per item, and of distinct ones."""
KEYWORDS, WORDS, RELATED = 5, 20_000, 10
T = TypeVar("T")


def write(folder: Path, rows: int, items: int, users: int) -> None:
    """Write interactions, items, keywords and graph."""
    rng = np.random.default_rng(SEED)
    user = (users * rng.random(rows) ** UNEVEN_USERS).astype(np.int32) + 1
    item = (items * rng.random(rows) ** UNEVEN_ITEMS).astype(np.int32) + 1
    moment = rng.integers(YEARS, size=rows)
    order = np.lexsort((moment, user))
    user, item, moment = user[order], item[order], moment[order]
    start = np.flatnonzero(np.diff(user, prepend=-1))
    position = np.arange(rows) - np.repeat(start, np.diff(np.append(start, rows)))
    split = np.digitize(moment, np.array([0.8, 0.9]) * YEARS)
    pq.write_table(
        pa.table({
            "user_id": user, "item_id": item, "label": (rng.random(rows) < 0.6).astype(np.int8),
            "timestamp": pa.array(moment * SECOND, pa.timestamp("ns")), "position": position.astype(np.int32),
            "split": pa.array(SPLITS).take(pa.array(split)), "not_cold": np.ones(rows, bool),
        }),
        folder / "interactions.parquet",
    )  # fmt: skip
    ids = np.arange(1, items + 1, dtype=np.int32)
    titles = pa.array([f"The {number} & Company of {number % 97}" for number in range(items)])
    description = pa.array([""] * items)
    pq.write_table(
        pa.table({"item_id": ids, "title": titles, "description": description}), folder / "items.parquet"
    )
    words = pa.array([f"word {number}" for number in range(WORDS)])
    flat = words.take(pa.array(rng.integers(WORDS, size=items * KEYWORDS)))
    lists = pa.ListArray.from_arrays(pa.array(np.arange(items + 1, dtype=np.int32) * KEYWORDS), flat)
    pq.write_table(pa.table({"item_id": ids, "keywords": lists}), folder / "keywords.parquet")
    pq.write_table(_graph(rng, ids), folder / "graph.parquet")


def _graph(rng: np.random.Generator, ids: np.ndarray) -> pa.Table:
    parts = []
    for relation, (count, different) in RELATIONS.items():
        names = pa.array([f"{relation} {number}" for number in range(different)])
        parts.append(_edges(relation, np.repeat(ids, count), rng, names))
    parts.append(_edges("liked_together", np.repeat(ids, RELATED), rng, None))
    return pa.concat_tables(parts)


def _edges(relation: str, item: np.ndarray, rng: np.random.Generator, names: pa.Array | None) -> pa.Table:
    size = len(item)
    none = pa.nulls(size, pa.string() if names is None else pa.int32())
    drawn = rng.integers(item.max() if names is None else len(names), size=size)
    return pa.table({
        "item_id": item,
        "relation": pa.array([relation]).take(pa.array(np.zeros(size, np.int8))),
        "value": none if names is None else names.take(pa.array(drawn)),
        "other_id": pa.array((drawn + 1).astype(np.int32)) if names is None else none,
        "weight": pa.array(rng.integers(1, 9, size=size).astype(np.int32)),
    })  # fmt: skip


def timed(what: str, make: Callable[[], T]) -> T:
    """Call a function and print its seconds."""
    clock, processor = time.perf_counter(), time.process_time()
    result = make()
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    print(f"| {what} | {clock:.1f} s | {processor:.1f} s | {peak_memory_mb():,.0f} MB |", flush=True)
    return result


def load(folder: Path) -> Knowledge:
    """Load the tools' knowledge as the stages do, with random user vectors."""
    data = Interactions.load(folder / "interactions.parquet")
    items = Items.load(folder / "items.parquet", folder / "keywords.parquet")
    highest = len(items.title) - 1
    graph = load_graph(folder / "graph.parquet", folder / "keywords.parquet", highest)
    vectors = np.random.default_rng(SEED).standard_normal((data.users + 1, WIDTH), dtype=np.float32)
    return Knowledge(data, items, descriptions(folder / "items.parquet", highest), graph, vectors)


def some_cases(knowledge: Knowledge, count: int) -> list[Case]:
    """Draw cases uniformly from test's likes, so that active users are more frequent."""
    data = knowledge.data
    rows = data.rows("test")
    chosen = np.random.default_rng(SEED).choice(rows[data.label[rows] == 1], count, replace=False)
    drawn = draw_cases(data, len(knowledge.items.title) - 1, np.sort(chosen), "test", CANDIDATES, SEED)
    return drawn.cases


def milliseconds(environment: Environment, case: Case, name: str, processor: bool) -> float:
    """Measure one call."""
    environment.reset(case=case)
    clock = time.process_time if processor else time.perf_counter
    start = clock()
    getattr(environment, name)(**({"query": "word 7"} if name == "search_history" else {}))
    return 1000 * (clock() - start)


def main() -> None:
    """Print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=7_000_000)
    parser.add_argument("--items", type=int, default=150_000)
    parser.add_argument("--users", type=int, default=2_000_000)
    parser.add_argument("--cases", type=int, default=500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        sizes = (given.rows, given.items, given.users)
        writer = multiprocessing.get_context("spawn").Process(target=write, args=(Path(name), *sizes))
        writer.start()
        writer.join()
        if writer.exitcode:
            raise SystemExit("the tables could not be written")
        print(f"{given.rows:,} rows, {given.items:,} items, {given.users:,} users; {os.cpu_count()} cores\n")
        print("| step | clock | processor | most memory so far |\n|---|---|---|---|")
        knowledge = timed("load", lambda: load(Path(name)))
        cases = timed(f"draw {given.cases} cases", lambda: some_cases(knowledge, given.cases))
    environment = Environment(knowledge, Agent(), cases)
    print("\n| tool | median | 95 % | most, processor alone | aim |\n|---|---|---|---|---|")
    for tool in TOOLS:
        clock = [milliseconds(environment, case, tool, False) for case in cases]
        worst = max(milliseconds(environment, case, tool, True) for case in cases)
        median, late = np.percentile(clock, [50, 95])
        print(f"| `{tool}` | {median:.2f} ms | {late:.2f} ms | {worst:.2f} ms | {AIM:g} ms |", flush=True)


if __name__ == "__main__":
    main()
