"""Training an encoder again, and its distance from the one on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from thinkrec.cf.checkpoint import Progress
from thinkrec.cf.encoder import Encoder
from thinkrec.cf.examples import Known, Shape
from thinkrec.cf.folder import ENCODERS
from thinkrec.cf.trainer import Schedule, fit
from thinkrec.data.tables import Interactions
from thinkrec.errors import ModelError
from thinkrec.layout import Layout
from thinkrec.metrics.ranking import ranking_metrics, rounded
from thinkrec.protocols import Protocol
from thinkrec.runs import read_curve

INCOMPARABLE = 1e9  # difference of tensors that can't be compared; finite, since it goes into JSON
USER, ITEM = "vectors.user", "vectors.item"
"""Names of the vectors among the weights, some of which are also called user and item."""
_COUNT_TENSORS = ("counts", "folds")
"""Float tensors of counts, which must be equal."""
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Args:
        tensors: weights by name, and the vectors USER and ITEM.
        best_epoch: epoch with the highest valid AUC, the first in case of a tie.
        valid_auc: that AUC.
        settled: values tuned on valid after training, and their metrics; None if there are none.
        curve: epoch, series, value, as the stage `cf` writes them.
    """

    tensors: Tensors
    best_epoch: int
    valid_auc: float
    settled: dict[str, Any] | None
    curve: list[tuple[int, str, float]]


def train_again(data: Interactions, config: dict[str, Any], validation: Interactions) -> Trained:
    """Train again with the settings of `config` on train's rows of `data`.

    Args:
        data: the interactions to train on.
        config: the encoder's config.json; training stops `patience` epochs after its `best_epoch`.
        validation: interactions whose valid rows choose the epoch and what `Encoder.tune` sets.

    Raises:
        ModelError: config.json does not fit this version's encoders or the data.
    """
    best = int(config["best_epoch"])
    try:
        schedule = Schedule(**config["schedule"])
        # No early stopping: the valid rows of `data` must not matter.
        epochs = min(schedule.epochs, best + schedule.patience)
        schedule = replace(schedule, epochs=epochs, patience=epochs)
        known = Known.of(data, config["user_shape"][0] - 1, config["item_shape"][0] - 1)
        model = ENCODERS[config["encoder"]](Shape(**config["shape"]), known, config["seed"])
        protocol = config["choose_by"]
    except (KeyError, TypeError, IndexError) as error:
        raise ModelError(
            f"encoder {config.get('encoder')}: config.json does not fit this version or the data ({error}); "
            "run `thinkrec cf` again"
        ) from error
    best_weights: Tensors = {}
    validated: list[tuple[int, str, float]] = []

    def keep(progress: Progress) -> None:
        validated.extend(_validation_points(model, validation, progress.epoch, protocol))
        if progress.epoch == best:
            best_weights.update({key: value.detach().clone() for key, value in model.state_dict().items()})

    with _threads(config.get("threads")):
        learned = fit(model, data, schedule, config["seed"], protocol, on_epoch=keep, show=False).curve
    model.load_state_dict(best_weights)
    model.tune(validation, protocol)
    curve = sorted(
        [*(point for point in learned if point[1] == "train_loss"), *validated], key=lambda p: p[0]
    )
    auc = [value for _, series, value in validated if series == "valid_auc"]
    tensors = all_tensors(model.cpu(), data)
    return Trained(tensors, int(np.argmax(auc)) + 1, max(auc), _settled(model, validation, protocol), curve)


def all_tensors(model: Encoder, data: Interactions) -> Tensors:
    """Return weights and vectors of an encoder."""
    vectors = model.vectors(data)
    return {**model.state_dict(), USER: vectors["user"], ITEM: vectors["item"]}


def _validation_points(
    model: Encoder, validation: Interactions, epoch: int, protocol: Protocol
) -> list[tuple[int, str, float]]:
    rows = validation.rows("valid")
    label, score = validation.label[rows], model.score(validation, rows, protocol)
    loss = float(np.logaddexp(0, np.where(label == 1, -score, score)).mean())
    return [(epoch, "valid_loss", loss), (epoch, "valid_auc", float(roc_auc_score(label, score)))]


def _settled(model: Encoder, validation: Interactions, protocol: Protocol) -> dict[str, Any] | None:
    if not model.tuned_buffers:
        return None
    rows = validation.rows("valid")
    score = model.score(validation, rows, protocol)
    values = ranking_metrics(validation.user_id[rows], validation.label[rows], score).values
    chosen = {name: round(float(getattr(model, name)), 6) for name in model.tuned_buffers}
    return {**chosen, "valid_auc": rounded(values["auc"]), "valid_uauc": rounded(values["uauc"])}


def difference(one: Tensors, other: Tensors) -> float:
    """Compute the relative difference (L2) of two sets of tensors; 0 only if they are bitwise equal.

    INCOMPARABLE if shapes or tensors of integers and counts differ, if values are not finite, or if some
    learned tensors are bitwise equal and others are not: another order of sums would change all of them.
    """
    if {key: value.shape for key, value in one.items()} != {key: value.shape for key, value in other.items()}:
        return INCOMPARABLE
    unequal = [key for key, value in one.items() if not torch.equal(value, other[key])]
    if not unequal:
        return 0.0
    learned = [key for key, value in one.items() if value.is_floating_point() and key not in _COUNT_TENSORS]
    if not set(unequal) <= set(learned) or ("damping" in unequal and set(unequal) <= {"damping", USER}):
        return INCOMPARABLE  # equal weights tune to equal values
    if any(key not in unequal and one[key].numel() > 1 and one[key].any() for key in learned):
        return INCOMPARABLE
    numerator = sum(float((one[key].double() - other[key].double()).square().sum()) for key in unequal)
    denominator = sum(float(one[key].double().square().sum()) for key in learned)
    ratio = (numerator / max(denominator, 1e-12)) ** 0.5
    return max(ratio, 1e-12) if ratio < INCOMPARABLE else INCOMPARABLE  # false for NaN


def curve_of(layout: Layout, model: str) -> list[tuple[int, str, float]]:
    """Read an encoder's curve written by the stage `cf`."""
    own = (row for row in read_curve(layout, "cf") if row["model"] == model)
    return [(int(row["epoch"]), row["series"], float(row["value"])) for row in own]


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Use the first training's number of threads, if known: the order of sums depends on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
