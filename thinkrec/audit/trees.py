"""The gbdt yardstick: what its rows are described by, and how trees grown the same way score other rows."""

from __future__ import annotations

from functools import cache, partial

import numpy as np

from thinkrec.audit.check import Check, judged, some
from thinkrec.audit.spoil import blind_test, held_out, spoiled
from thinkrec.config.sections import Params
from thinkrec.data.tables import HistoryMode, Interactions
from thinkrec.yardsticks.features import features
from thinkrec.yardsticks.gbdt import Boosting, Gbdt, fit_gbdt

_ROUNDING = 2e-6
"""Two units of the last decimal that `features` keeps: whole-table sums carry other users' errors."""


class Trees:
    """Grown once a mode on the interactions on disk; scores rows as any interactions describe them.

    Growing them anew on spoiled interactions would prove nothing more than `check_features`, and a rounding
    error in one feature may turn a whole tree.
    """

    def __init__(self, data: Interactions, params: Params, dataset: str) -> None:
        """Take what `thinkrec yardsticks` takes; trees are grown when they are wanted."""
        options = Boosting(**params.yardsticks.choice(params.tuned.get(dataset)).model_dump())
        self._grown = cache(partial(_grow, data, options, params.seed))

    def __call__(self, data: Interactions, rows: np.ndarray, mode: HistoryMode) -> np.ndarray:
        """Logits of rows, [n]."""
        return self._grown(mode).score(features(data, rows, mode)[0])


def _grow(data: Interactions, options: Boosting, seed: int, mode: HistoryMode) -> Gbdt:
    return fit_gbdt(data, features(data, np.arange(len(data)), mode)[0], options, seed)


def check_features(data: Interactions, mode: HistoryMode, seed: int) -> Check:
    """Describe train with valid and test spoiled, and valid and a part of test with later rows spoiled."""
    rows, blind = blind_test(data, seed)
    train, later = data.rows("train"), np.concatenate([data.rows("valid"), rows])
    pairs = [(train, spoiled(data, held_out(data))), (later, blind)]
    changed: set[str] = set()
    for kept, wrong in pairs:
        ours, names = features(data, kept, mode)
        theirs, _ = features(wrong, kept, mode)
        same = np.isclose(ours, theirs, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True).all(0)
        changed |= {name for name, equal in zip(names, same, strict=True) if not equal}
    faults = some(len(changed), "features change with later rows", ", ".join(sorted(changed)[:5]))
    said = f"{len(train) + len(later):,} rows: the same features with what comes later spoiled"
    return judged("features", f"gbdt: of the past ({mode})", faults, said, changed=sorted(changed))
