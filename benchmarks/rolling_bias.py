"""Show how within-user metrics under rolling histories reward scores that know no taste.

    python benchmarks/rolling_bias.py PROJECT DATASET [--draws 20]

PROJECT is a folder with prepared data (`thinkrec prep`). Prints AUC and UAUC on test of an item's mean, of
the user's running mean, and of its negative, with labels as they are and permuted within users, under each
kind of history.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np

from thinkrec.data.tables import Interactions
from thinkrec.layout import Layout
from thinkrec.metrics.floors import Floors
from thinkrec.metrics.ranking import ranking_metrics
from thinkrec.metrics.running import running_mean, shuffled
from thinkrec.protocols import Protocol

PROTOCOLS: tuple[Protocol, ...] = ("rolling", "frozen", "train")


def measured(data: Interactions, rows: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """Measure AUC and UAUC of scores [n] of rows [n]; NaN where a metric does not exist."""
    values = ranking_metrics(data.user_id[rows], data.label[rows], score).values
    return tuple(np.nan if values[name] is None else values[name] for name in ("auc", "uauc"))  # type: ignore[return-value]


def lines(data: Interactions, draws: int) -> Iterator[str]:
    """Yield the table's rows."""
    rows = data.rows("test")
    floors = Floors.fit(data).scores(data.user_id[rows], data.item_id[rows])
    for name in ("item_mean", "user_item_mean"):
        yield row(name, "-", *measured(data, rows, floors[name]))
    for protocol in PROTOCOLS:
        for ties in (True, False):
            mean = running_mean(data, rows, protocol, ties)
            what = "" if ties else ", equal timestamps not read"
            yield row(f"running mean{what}", protocol, *measured(data, rows, mean))
            yield row(f"minus running mean{what}", protocol, *measured(data, rows, -mean))
        for what, permuted in (("test labels", rows), ("all labels", np.arange(len(data)))):
            drawn = [
                measured(other := shuffled(data, permuted, seed), rows, -running_mean(other, rows, protocol))
                for seed in range(draws)
            ]
            name = f"minus running mean, {what} shuffled within users, {draws} draws"
            yield row(name, protocol, *np.mean(drawn, axis=0))


def row(what: str, protocol: str, auc: float, uauc: float) -> str:
    """Format a row of the table."""
    return f"| {what} | {protocol} | {auc:.3f} | {uauc:.3f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("--draws", type=int, default=20)
    options = parser.parse_args()
    data = Interactions.load(Layout(options.dataset, options.project).interactions)
    test = data.rows("test")
    users = ranking_metrics(data.user_id[test], data.label[test], np.zeros(len(test))).population[
        "users_uauc"
    ]
    print(f"{date.today()}, {options.dataset}, test: {len(test):,} rows, UAUC over {users:,} users")
    print("| scorer | histories | AUC | UAUC |\n|---|---|---|---|")
    for line in lines(data, options.draws):
        print(line, flush=True)


if __name__ == "__main__":
    main()
