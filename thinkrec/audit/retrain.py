"""One encoder trained again, and how far what it learned lies from what is on disk."""

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
from thinkrec.runs import read_curve

OTHER = 1e9  # difference of tensors that can't be compared; finite, since it goes into JSON
USER, ITEM = "vectors.user", "vectors.item"
"""Names of the vectors beside the weights, some of which are called user and item as well."""
_COUNTED = ("counts", "folds")
"""Tensors of fractions that are counted, not learned: equal or wrong."""
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Args:
        tensors: weights by their names, and the vectors USER and ITEM.
        best_epoch: the epoch with the highest AUC on valid, the first of equals.
        valid_auc: that AUC.
        settled: what valid chose after training, and what it leads to; None where there is nothing to choose.
        curve: epoch, series, value, as the stage `cf` writes them.
    """

    tensors: Tensors
    best_epoch: int
    valid_auc: float
    settled: dict[str, Any] | None
    curve: list[tuple[int, str, float]]


def train_again(data: Interactions, config: dict[str, Any], choose: Interactions) -> Trained:
    """Train as `config` (an encoder's config.json) says, on train's rows of `data`.

    Args:
        data: what is trained on.
        config: of the encoder; it goes on for `patience` epochs after `best_epoch`, as the first one did.
        choose: interactions whose valid rows choose the epoch and what `Encoder.tune` chooses.

    Raises:
        ModelError: config.json holds what this version's encoders do not know.
    """
    best = int(config["best_epoch"])
    try:
        schedule = Schedule(**config["schedule"])
        # Patience as long as the training: the valid rows of `data` decide nothing.
        epochs = min(schedule.epochs, best + schedule.patience)
        schedule = replace(schedule, epochs=epochs, patience=epochs)
        known = Known.of(data, config["user_shape"][0] - 1, config["item_shape"][0] - 1)
        model = ENCODERS[config["encoder"]](Shape(**config["shape"]), known, config["seed"])
    except (KeyError, TypeError, IndexError) as error:
        raise ModelError(
            f"encoder {config.get('encoder')}: config.json does not fit this version or the data ({error}); "
            "run `thinkrec cf` again"
        ) from error
    kept: Tensors = {}
    judged: list[tuple[int, str, float]] = []

    def keep(progress: Progress) -> None:
        judged.extend(_judged(model, choose, progress.epoch))
        if progress.epoch == best:
            kept.update({key: value.detach().clone() for key, value in model.state_dict().items()})

    with _threads(config.get("threads")):
        learned = fit(model, data, schedule, config["seed"], on_epoch=keep, show=False).curve
    model.load_state_dict(kept)
    model.tune(choose)
    curve = sorted([*(point for point in learned if point[1] == "train_loss"), *judged], key=lambda p: p[0])
    auc = [value for _, series, value in judged if series == "valid_auc"]
    tensors = all_tensors(model.cpu(), data)
    return Trained(tensors, int(np.argmax(auc)) + 1, max(auc), _settled(model, choose), curve)


def all_tensors(model: Encoder, data: Interactions) -> Tensors:
    """Weights and vectors of an encoder."""
    vectors = model.vectors(data)
    return {**model.state_dict(), USER: vectors["user"], ITEM: vectors["item"]}


def _judged(model: Encoder, choose: Interactions, epoch: int) -> list[tuple[int, str, float]]:
    rows = choose.rows("valid")
    label, score = choose.label[rows], model.score(choose, rows, "rolling")
    loss = float(np.logaddexp(0, np.where(label == 1, -score, score)).mean())
    return [(epoch, "valid_loss", loss), (epoch, "valid_auc", float(roc_auc_score(label, score)))]


def _settled(model: Encoder, choose: Interactions) -> dict[str, Any] | None:
    if not model.tuned_buffers:
        return None
    rows = choose.rows("valid")
    score = model.score(choose, rows, "rolling")
    found = ranking_metrics(choose.user_id[rows], choose.label[rows], score).values
    chosen = {name: round(float(getattr(model, name)), 6) for name in model.tuned_buffers}
    return {**chosen, "valid_auc": rounded(found["auc"]), "valid_uauc": rounded(found["uauc"])}


def difference(one: Tensors, other: Tensors) -> float:
    """Length of the difference of two sets of tensors over the length of `one`; 0 only for equal bits.

    OTHER where shapes or what no sum makes (whole numbers: who is known; counts of likes) don't match, where
    one holds no finite numbers, or where some of what is learned is equal in every bit and some is not: sums
    in another order change all of it.
    """
    if {key: value.shape for key, value in one.items()} != {key: value.shape for key, value in other.items()}:
        return OTHER
    unequal = [key for key, value in one.items() if not torch.equal(value, other[key])]
    if not unequal:
        return 0.0
    learned = [key for key, value in one.items() if value.is_floating_point() and key not in _COUNTED]
    if not set(unequal) <= set(learned) or ("steady" in unequal and set(unequal) <= {"steady", USER}):
        return OTHER  # a share that the same weights do not lead to on valid
    if any(key not in unequal and one[key].numel() > 1 and one[key].any() for key in learned):
        return OTHER
    apart = sum(float((one[key].double() - other[key].double()).square().sum()) for key in unequal)
    every = sum(float(one[key].double().square().sum()) for key in learned)
    found = (apart / max(every, 1e-12)) ** 0.5
    return max(found, 1e-12) if found < OTHER else OTHER  # NaN is not below


def curve_of(layout: Layout, model: str) -> list[tuple[int, str, float]]:
    """An encoder's part of the curve that the stage `cf` wrote."""
    own = (row for row in read_curve(layout, "cf") if row["model"] == model)
    return [(int(row["epoch"]), row["series"], float(row["value"])) for row in own]


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """As many threads as the first training had, where config.json knows: the order of sums hangs on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
