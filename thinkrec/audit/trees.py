"""The gbdt baseline: its features computed again, and its trees grown again."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from thinkrec.audit.check import Check, fault, judged
from thinkrec.audit.same import differing, first_few
from thinkrec.audit.spoil import blind_test, held_out, spoiled
from thinkrec.baselines.features import features
from thinkrec.baselines.gbdt import Boosting, Gbdt, fit_gbdt
from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.metrics.ranking import auc
from thinkrec.protocols import Protocol

_FEATURE_TOLERANCE = 2e-6
"""Two units of the last decimal of `features`: sums over the whole table carry other users' errors."""


_SCORE_TOLERANCE = 1e-4
"""Tolerance of scores on another machine, relative to 1 + their size."""


def check_features(data: Interactions, protocol: Protocol, seed: int) -> Check:
    """Compute features of train with valid and test spoiled, and of later rows with their future spoiled."""
    rows, blind = blind_test(data, seed)
    train, later = data.rows("train"), np.concatenate([data.rows("valid"), rows])
    pairs = [(train, spoiled(data, held_out(data))), (later, blind)]
    changed: set[str] = set()
    for kept, wrong in pairs:
        ours, names = features(data, kept, protocol)
        theirs, _ = features(wrong, kept, protocol)
        same = np.isclose(ours, theirs, rtol=_FEATURE_TOLERANCE, atol=_FEATURE_TOLERANCE, equal_nan=True).all(
            0
        )
        changed |= {name for name, equal in zip(names, same, strict=True) if not equal}
    faults = fault(len(changed), "features change with later rows", ", ".join(sorted(changed)[:5]))
    summary = f"{len(train) + len(later):,} rows: the same features with what comes later spoiled"
    return judged("features", f"gbdt: of the past ({protocol})", faults, summary, changed=sorted(changed))


def check_baselines(layout: Layout, data: Interactions, params: Params) -> Check:
    """Grow all seeds' trees again with test's labels flipped; scores and metrics must not change.

    `check_features` checks the features.
    """
    protocol, seed = params.choose_by, params.seed
    options = Boosting(**params.baselines.choice(params.tuned.get(layout.dataset)).model_dump())
    turned = replace(data, label=np.where(held_out(data, ("test",)), 1 - data.label, data.label))
    matrix, rows = features(data, np.arange(len(data)), protocol)[0], np.flatnonzero(data.split > 0)
    config = read_json(layout.baselines / "config.json")
    faults: list[str] = []
    facts: dict[str, Any] = {}
    numbers = range(seed, seed + params.baselines.seeds)
    stored = {int(path.stem): path for path in layout.baselines.glob("*.safetensors")}
    for name, number in ((f"seed_{each}", each) for each in numbers):
        fitted = fit_gbdt(turned, matrix, options, number)
        score = fitted.score(matrix)
        valid = data.rows("valid")
        facts[name] = {
            "rounds": fitted.rounds,
            "trees_valid_auc": fitted.valid_auc,
            "damping": fitted.damping,
            "valid_auc": auc(data.label[valid], score[valid]),
        }
        if number in stored:
            off = np.abs(Gbdt.load(stored[number]).score(matrix[rows]) - score[rows])
            count = int((~(off <= _SCORE_TOLERANCE * (1 + np.abs(score[rows])))).sum())
            faults += fault(count, f"scores of {name} are not those of trees that train and valid give")
    if set(stored) != set(numbers):
        faults.append("there are trees of other seeds than params.yaml names")
    expected = {"choose_by": protocol, "options": asdict(options), "seeds": facts}
    wrong = differing({key: config.get(key) for key in expected}, expected)
    faults += [f"config.json disagrees about {first_few(wrong)}"] if wrong else []
    advice = "run `thinkrec baselines` again, if params.yaml has changed since"
    summary = f"{len(rows):,} scores of {len(facts)} seeds, grown again with test's labels turned: all equal"
    return judged(
        "baselines", f"gbdt: grown without test ({protocol})", faults and [*faults, advice], summary
    )
