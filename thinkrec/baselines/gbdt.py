"""The `gbdt` baseline: histogram gradient boosting over statistics of the past."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from sklearn.ensemble import HistGradientBoostingClassifier

from thinkrec.baselines.features import OWN
from thinkrec.baselines.trees import Trees
from thinkrec.data.classes import check_classes
from thinkrec.data.tables import Interactions
from thinkrec.errors import ModelError
from thinkrec.metrics.damping import best_damping
from thinkrec.metrics.ranking import auc

COLUMNS = 0.5
"""Share of the features that a split may use, drawn anew for each: the one thing that a seed changes."""


@dataclass(frozen=True)
class Boosting:
    """How the trees grow; the fields of `baselines.gbdt` of the same names."""

    learning_rate: float
    max_leaf_nodes: int
    l2_regularization: float
    max_iter: int


@dataclass(frozen=True)
class Gbdt:
    """A fitted model: (1 - damping) x the trees' logit + damping x the same as for a user without history.

    Under rolling histories the share of likes so far moves from row to row and, within a user, points away
    from the next label (a like just counted is one that no longer lies ahead). Damping what the trees read of
    it, while item, taste and similar items stay as they are, gives UAUC back what this costs. Source: our
    choice.

    Args:
        trees: those that score, as many as have the best valid AUC by themselves.
        newcomer: mean of the OWN columns over train rows without history, [OWN]; NaN where they have none.
        valid_auc: that AUC.
        damping: 0 to 1, that with the highest AUC + UAUC on valid.
    """

    trees: Trees
    newcomer: np.ndarray
    valid_auc: float
    damping: float = 0.0

    @property
    def rounds(self) -> int:
        """Count of trees."""
        return len(self.trees)

    def logits(self, matrix: np.ndarray) -> np.ndarray:
        """What the trees alone say, [n] float64.

        Raises:
            ModelError: the trees are of other features, or a score is no finite number.
        """
        try:
            logits = self.trees.logits(matrix)
        except ValueError as error:
            raise ModelError(f"gbdt: {error}; run `thinkrec baselines` again") from error
        if not (np.abs(logits) <= np.finfo(np.float32).max).all():  # as which scores are kept
            raise ModelError(
                "gbdt: scores are not finite; lower baselines.gbdt.learning_rate in params.yaml, or "
                "gbdt's under tuned"
            )
        return logits

    def damped_logits(self, matrix: np.ndarray) -> np.ndarray:
        """The same as if the users had no history, [n] float64."""
        matrix = matrix.copy()
        matrix[:, :OWN] = self.newcomer
        return self.logits(matrix)

    def score(self, matrix: np.ndarray) -> np.ndarray:
        """Logits of rows described by `features`, [n] float64."""
        return (1 - self.damping) * self.logits(matrix) + self.damping * self.damped_logits(matrix)

    def save(self, path: Path) -> None:
        """Write it as safetensors: no code, unlike a pickle."""
        shares = {"valid_auc": np.array(self.valid_auc), "damping": np.array(self.damping)}
        own = {"newcomer": self.newcomer, **shares}
        path.write_bytes(save({**self.trees.arrays(), **own}))

    @classmethod
    def load(cls, path: Path) -> Gbdt:
        """Read what `save` wrote.

        Raises:
            ModelError: the file is missing or corrupt.
        """
        try:
            arrays = load_file(path)
            trees = Trees.of_arrays(arrays)
            return cls(trees, arrays["newcomer"], float(arrays["valid_auc"]), float(arrays["damping"]))
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise ModelError(f"{path} can't be read ({error}); run `thinkrec baselines` again") from error


def fit_gbdt(data: Interactions, matrix: np.ndarray, options: Boosting, seed: int) -> Gbdt:
    """Grow trees on train's labels; rounds, then the damping are chosen on valid, the first of equals.

    Shapes: N interactions, F features.

    Args:
        data: interactions; test labels are not read.
        matrix: features of all interactions, [N, F]; computed once, they serve any count of fits.
        options: how the trees grow.
        seed: of the features that each split may use.

    Raises:
        DataError: train or valid has no row, or one class only.
        ModelError: a score is no finite number.
    """
    check_classes(data)
    train, valid = data.rows("train"), data.rows("valid")
    model = grow(data, matrix, options, seed)
    stages = model.staged_decision_function(matrix[valid])
    aucs = [auc(data.label[valid], score.ravel()) or 0.0 for score in stages]
    best = int(np.argmax(aucs))
    first = matrix[train][matrix[train, 0] == 0, :OWN]
    newcomer = first.mean(0) if len(first) else np.full(OWN, np.nan)
    fitted = Gbdt(Trees.of_model(model, best + 1), newcomer, aucs[best])
    moving, still = fitted.logits(matrix[valid]), fitted.damped_logits(matrix[valid])
    return replace(fitted, damping=best_damping(data.user_id[valid], data.label[valid], moving, still))


def grow(
    data: Interactions, matrix: np.ndarray, options: Boosting, seed: int
) -> HistGradientBoostingClassifier:
    """Grow all rounds of trees on train's labels; arguments as of `fit_gbdt`."""
    train = data.rows("train")
    return HistGradientBoostingClassifier(
        learning_rate=options.learning_rate,
        max_iter=options.max_iter,
        max_leaf_nodes=options.max_leaf_nodes,
        l2_regularization=options.l2_regularization,
        max_features=COLUMNS,
        early_stopping=False,  # its own would hold back a random part of train
        random_state=seed,
    ).fit(_with_values(matrix[train]), data.label[train])


def _with_values(matrix: np.ndarray) -> np.ndarray:
    """Columns without any value as zeros, which no tree can split on: scikit-learn can't bin them."""
    empty = np.isnan(matrix).all(0)
    return np.where(empty, np.float32(0), matrix) if empty.any() else matrix
