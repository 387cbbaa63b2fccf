"""An epoch of each encoder at Yelp's size: time, memory, and whether time is linear in interactions.

    python benchmarks/encoders_at_size.py [--encoders mf lightgcn ...] [--millions 0.4 0.8 1.6] [--threads 2]

The interactions are generated: Zipf users and items, random labels; 80 % train, 10 % valid. Users and items
are 40,000 and 60,000 ("fixed"), or grow with the interactions up to that ("along"). Each line is a fresh
process with width 64 and the defaults of `cf`. Time is called linear if a million rows take at most a fifth
longer than at the smallest size.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from encoders import SEED, encoder, machine, timed

from thinkrec.cf import trainer
from thinkrec.cf.folder import ENCODERS
from thinkrec.config.sections import Cf
from thinkrec.data.tables import Interactions
from thinkrec.progress import Bar
from thinkrec.stages.cf import schedule_of

USERS, ITEMS = 40_000, 60_000
ZIPF, LINEAR, MAX_MB = 0.8, 1.2, 6000


def zipf(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ids 1 .. count, [size], with probabilities proportional to rank ** -ZIPF."""
    share = np.cumsum(np.arange(1, count + 1) ** -ZIPF)
    return 1 + np.searchsorted(share, rng.random(size) * share[-1])


def generated(rows: int, users: int, items: int) -> Interactions:
    """Generate interactions; of each user, the first 80 % are train, the last 10 % test."""
    rng = np.random.default_rng(SEED)
    user, item = np.sort(zipf(users, rows, rng)), zipf(items, rows, rng)
    count = np.bincount(user)[user]
    position = np.arange(rows) - np.searchsorted(user, user)
    split = ((position >= count * 0.8).astype(np.int8) + (position >= count * 0.9)).astype(np.int8)
    label, not_cold = (rng.random(rows) < 0.6).astype(np.int64), np.ones(rows, dtype=bool)
    return Interactions(user, item, label, position * 60, position, split, not_cold)


def one(name: str, rows: int, users: int, items: int, threads: int) -> dict[str, float]:
    """Measure an epoch: seconds of training and of scoring valid, peak memory (MB)."""
    torch.set_num_threads(threads)
    data, cf = generated(rows, users, items), Cf(epochs=1)
    choice = cf.choice(name)  # type: ignore[arg-type]
    model = encoder(name, data, cf, choice, SEED)
    with timed("_epoch") as trained, timed("_validate") as judged:
        trainer.fit(model, data, schedule_of(cf, choice), SEED, "frozen")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {"seconds": trained[0], "valid": judged[0], "peak": peak}


def measured(name: str, rows: int, users: int, items: int, threads: int) -> dict[str, float]:
    """Measure in a fresh process."""
    numbers = [str(each) for each in (rows, users, items, threads)]
    code = "import sys, json, encoders_at_size as here\n"
    code += "print(json.dumps(here.one(sys.argv[1], *map(int, sys.argv[2:]))))"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, name, *numbers],
        stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parent, env=environment,
    )  # fmt: skip
    return json.loads(process.stdout)


def lines(name: str, millions: list[float], along: bool, threads: int, bar: Bar) -> Iterator[str]:
    """Yield lines of one encoder by number of interactions."""
    smallest = 0.0
    for million in millions:
        share = million / max(millions) if along else 1
        users, items = round(USERS * share), round(ITEMS * share)
        cost = measured(name, round(million * 1e6), users, items, threads)
        bar.update()
        per_million = cost["seconds"] / million
        smallest = smallest or per_million
        linear = "" if per_million <= LINEAR * smallest else ": not linear"
        memory = "" if cost["peak"] < MAX_MB else ": too much"
        yield (
            f"| {name} | {million:g} | {users:,} | {items:,} | {'along' if along else 'fixed'} "
            f"| {cost['seconds']:.2f} | {per_million:.2f} | {per_million / smallest:.2f}{linear} "
            f"| {cost['valid']:.2f} | {cost['peak']:,.0f}{memory} |"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS), choices=list(ENCODERS))
    parser.add_argument("--millions", nargs="+", type=float, default=[0.4, 0.8, 1.6])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    millions = sorted(options.millions)
    print(f"{machine(options.threads)}; generated interactions, a fresh process each\n")
    names = "encoder | million rows | users | items | tables | epoch, s | s a million | times the least's"
    print(f"| {names} | valid scored, s | peak memory, MB |\n{'|---' * 10}|")
    with Bar(total=2 * len(millions) * len(options.encoders), desc="sizes", unit="process") as bar:
        for name in options.encoders:
            for along in (False, True):
                for line in lines(name, millions, along, options.threads, bar):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
