"""Show how within-user metrics under rolling histories reward scores that know no taste.

    python benchmarks/rolling_bias.py PROJECT DATASET [--draws 20]

PROJECT is a folder with prepared data (`thinkrec prep`). Prints AUC and UAUC on test of an item's mean, of
the user's running mean, and of its negative, with labels as they are and permuted within users (mean over
draws, with the standard deviation of one draw), under each protocol. `thinkrec audit --shuffled` measures the
control, with test's labels permuted, of every system of a project.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np

from thinkrec.data.tables import Interactions
from thinkrec.layout import Layout
from thinkrec.metrics.floors import Counts, Floors
from thinkrec.metrics.ranking import ranking_metrics
from thinkrec.metrics.running import running_mean, shuffled
from thinkrec.protocols import Protocol

PROTOCOLS: tuple[Protocol, ...] = ("rolling", "frozen", "train")
SMOOTHING = 8.0
"""Rows at the global share that are added to an item's own, beside the number that valid chooses."""


def measured(data: Interactions, rows: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """Measure AUC and UAUC of scores [n] of rows [n]; NaN where a metric does not exist."""
    values = ranking_metrics(data.user_id[rows], data.label[rows], score).values
    return tuple(np.nan if values[name] is None else values[name] for name in ("auc", "uauc"))  # type: ignore[return-value]


def lines(data: Interactions, draws: int) -> Iterator[str]:
    """Yield the table's rows."""
    rows = data.rows("test")
    fitted, item = Floors.fit(data), data.item_id[rows]
    floors = fitted.scores(data.user_id[rows], item)
    for name in ("item_mean", "user_item_mean"):
        chosen = " and ".join(f"{each:g}" for each in fitted.smoothing[name])
        yield row(f"{name}, smoothed by {chosen} rows", "-", *measured(data, rows, floors[name]))
    other = measured(data, rows, Counts.of_train(data).item_logit(item, SMOOTHING))
    yield row(f"item_mean, smoothed by {SMOOTHING:g} rows", "-", *other)
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
            yield row(name, protocol, *np.mean(drawn, axis=0), spread=float(np.std(drawn, axis=0)[1]))


def row(what: str, protocol: str, auc: float, uauc: float, spread: float | None = None) -> str:
    """Format a row of the table."""
    each = "" if spread is None else f" (a draw: ± {spread:.3f})"
    return f"| {what} | {protocol} | {auc:.3f} | {uauc:.3f}{each} |"


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
