"""Boosted trees as plain arrays, which can be kept without a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

_NONE = np.zeros((0, 8), dtype=np.uint32)
"""Bit sets of categories, of which there are none."""


@dataclass(frozen=True)
class Trees:
    """Trees over numbers whose values add up to a logit.

    Args:
        nodes: of all trees, one after the other, as scikit-learn lays them out.
        sizes: count of nodes of each tree.
        baseline: logit before the first tree.
    """

    nodes: np.ndarray
    sizes: np.ndarray
    baseline: float

    @classmethod
    def of_model(cls, model: HistGradientBoostingClassifier, rounds: int) -> Trees:
        """Take the first `rounds` trees of a fitted model for two classes without categories."""
        trees = [each[0].nodes for each in model._predictors[:rounds]]
        sizes = np.array([len(each) for each in trees])
        return cls(np.concatenate(trees), sizes, float(model._baseline_prediction[0, 0]))

    def __len__(self) -> int:
        """Count of trees."""
        return len(self.sizes)

    def logits(self, matrix: np.ndarray) -> np.ndarray:
        """Sum the trees' values over rows of features [n, F]: [n] float64, as the model itself would.

        Raises:
            ValueError: a tree asks for a feature that is not there.
        """
        if (self.nodes["feature_idx"] >= matrix.shape[1]).any() or (self.nodes["feature_idx"] < 0).any():
            raise ValueError(f"trees ask for other features than the {matrix.shape[1]} there are")
        logits = np.full(len(matrix), self.baseline)
        matrix, threads = matrix.astype(np.float64), _openmp_effective_n_threads()
        columns = np.zeros(matrix.shape[1], dtype=np.uint32)
        for nodes in np.split(self.nodes, np.cumsum(self.sizes)[:-1]):
            logits += TreePredictor(nodes, _NONE, _NONE).predict(matrix, _NONE, columns, threads)
        return logits

    def arrays(self) -> dict[str, np.ndarray]:
        """The trees as one array a field, by name."""
        names = self.nodes.dtype.names or ()
        fields = {f"node_{name}": np.ascontiguousarray(self.nodes[name]) for name in names}
        return {**fields, "sizes": self.sizes, "baseline": np.array(self.baseline)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Trees:
        """Put the trees together from `arrays`.

        Raises:
            KeyError: a field of this version of scikit-learn is missing.
            ValueError: a node points beyond its tree, or back.
        """
        nodes = np.zeros(len(arrays["node_value"]), dtype=PREDICTOR_RECORD_DTYPE)
        for name in PREDICTOR_RECORD_DTYPE.names:
            nodes[name] = arrays[f"node_{name}"]
        sizes = arrays["sizes"]
        if int(sizes.sum()) != len(nodes) or (sizes < 1).any():
            raise ValueError("trees of other sizes than its nodes")
        first = np.repeat(np.cumsum(sizes) - sizes, sizes)
        inner, place = nodes["is_leaf"] == 0, np.arange(len(nodes)) - first
        for side in ("left", "right"):
            if ((nodes[side] <= place) | (nodes[side] >= np.repeat(sizes, sizes)))[inner].any():
                raise ValueError("a node points beyond its tree, or back")
        return cls(nodes, sizes, float(arrays["baseline"]))
