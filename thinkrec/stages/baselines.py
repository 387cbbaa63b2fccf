"""Stage `baselines`: the gbdt system, once a seed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from thinkrec.config.sections import Baselines, Params, Tuned
from thinkrec.files import whole, write_json
from thinkrec.layout import Layout, require

if TYPE_CHECKING:
    import numpy as np

    from thinkrec.baselines.gbdt import Gbdt
    from thinkrec.data.tables import Interactions
    from thinkrec.protocols import Protocol

IMPORTANCE_ROWS = 10_000  # of valid, drawn where there are more
REPEATS = 3


def fit_baselines(
    layout: Layout, baselines: Baselines, seed: int, protocol: Protocol, tuned: Tuned | None = None
) -> dict[str, Any]:
    """Grow gbdt's trees with each seed; write `layout.baselines`.

    <seed>.safetensors: the trees of each seed. config.json: the protocol of the choices, options, for each
    seed the rounds and the damping chosen on valid, with the valid AUC of the trees alone and of the score,
    and for each feature, most important first, the loss of valid AUC (mean of 3 draws, at most 10,000 rows)
    when its values change places, by the first seed's model.

    Returns:
        For each seed its rounds, damping and valid AUC.

    Raises:
        MissingInputError: `thinkrec prep` was not run.
        DataError: train or valid has no row, or one class only.
        ConfigError: `train`, with a split whose train rows do not come first.
    """
    require(layout, "interactions")
    import numpy as np

    from thinkrec.baselines.features import features
    from thinkrec.baselines.gbdt import Boosting, fit_gbdt
    from thinkrec.data.classes import check_classes
    from thinkrec.data.tables import Interactions
    from thinkrec.metrics.ranking import auc
    from thinkrec.progress import Bar

    data = Interactions.load(layout.interactions)
    check_classes(data)
    options = Boosting(**baselines.choice(tuned).model_dump())
    matrix, names = features(data, np.arange(len(data)), protocol)
    seeds = Bar(range(seed, seed + baselines.seeds), desc="baselines: gbdt", unit="seed")
    fitted = {each: fit_gbdt(data, matrix, options, each) for each in seeds}
    valid = data.rows("valid")
    facts: dict[str, Any] = {}
    for each, model in fitted.items():
        facts[f"seed_{each}"] = {
            "rounds": model.rounds,
            "trees_valid_auc": model.valid_auc,
            "damping": model.damping,
            "valid_auc": auc(data.label[valid], model.score(matrix[valid])),
        }
    importance = _importance(fitted[seed], data, matrix, names, seed)
    with whole(layout.baselines) as beside:
        beside.mkdir()
        for each, model in fitted.items():
            model.save(beside / f"{each}.safetensors")
        write_json(
            beside / "config.json",
            {"choose_by": protocol, "options": asdict(options), "seeds": facts, "importance": importance},
        )
    return facts


def _importance(
    fitted: Gbdt, data: Interactions, matrix: np.ndarray, names: list[str], seed: int
) -> list[dict[str, Any]]:
    """Mean loss of valid AUC by a feature's permutation, highest first."""
    import numpy as np
    from sklearn.dummy import DummyClassifier
    from sklearn.inspection import permutation_importance

    from thinkrec.metrics.ranking import auc

    rows = np.random.default_rng(seed).permutation(data.rows("valid"))[:IMPORTANCE_ROWS]

    def valid_auc(_: Any, table: np.ndarray, label: np.ndarray) -> float:
        return auc(label, fitted.score(table)) or 0.0

    importance = permutation_importance(
        DummyClassifier(),
        matrix[rows],
        data.label[rows],
        scoring=valid_auc,
        n_repeats=REPEATS,
        random_state=seed,
    )  # which asks the function alone
    order = np.argsort(-importance.importances_mean, kind="stable")
    return [{"feature": names[k], "loss": float(importance.importances_mean[k])} for k in order]


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the stage `baselines`."""
    tuned = params.tuned.get(layout.dataset)
    return fit_baselines(layout, params.baselines, params.seed, params.choose_by, tuned)
