"""Search spaces: the paper's grid, as ranges."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna

from thinkrec.baselines.features import features
from thinkrec.baselines.gbdt import Boosting, fit_gbdt
from thinkrec.cf.examples import Known, Shape
from thinkrec.cf.folder import ENCODERS
from thinkrec.cf.trainer import Progress, Schedule, fit
from thinkrec.data.tables import Interactions
from thinkrec.errors import ModelError
from thinkrec.protocols import Protocol
from thinkrec.search.study import short

WIDTHS = (64, 128, 256)
LEARNING_RATES, WEIGHT_DECAYS = (1e-4, 1e-2), (1e-7, 1e-2)
LEAVES = (4, 7, 15, 31, 63)
GBDT_RATES, L2 = (0.01, 0.3), (0.1, 100.0)


def encoder_objective(
    name: str,
    data: Interactions,
    known: Known,
    shape_of: Callable[[int], Shape],
    schedule_of: Callable[[float, float], Schedule],
    seed: int,
    choose_by: Protocol,
) -> Callable[[optuna.Trial], float]:
    """Make the objective of an encoder: best valid AUC, given width, learning rate and weight decay.

    Args:
        name: of the encoder.
        data: the interactions; test is not read.
        known: users and items of train.
        shape_of: width -> the encoder's shape.
        schedule_of: (learning rate, weight decay) -> its schedule.
        seed: random seed of all trainings.
        choose_by: protocol of the valid figures.

    Source: ranges of the paper's grid (learning rate 1e-4 to 1e-2, width 64, 128, 256, weight decay 1e-7 to
    1e-2).
    """

    def objective(trial: optuna.Trial) -> float:
        width = trial.suggest_categorical("embedding_size", WIDTHS)
        rate = short(trial.suggest_float("learning_rate", *LEARNING_RATES, log=True))
        decay = short(trial.suggest_float("weight_decay", *WEIGHT_DECAYS, log=True))
        model = ENCODERS[name](shape_of(width), known, seed)
        start = time.perf_counter()

        def on_epoch(progress: Progress) -> None:
            seconds = round(time.perf_counter() - start, 1)
            attributes = {"epochs": progress.epoch, "best_epoch": progress.best_epoch, "seconds": seconds}
            for key, value in attributes.items():
                trial.set_user_attr(key, value)
            trial.report(progress.best_auc, progress.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        try:
            schedule = schedule_of(rate, decay)
            return fit(model, data, schedule, seed, choose_by, on_epoch=on_epoch, show=False).best_auc
        except ModelError as error:
            trial.set_user_attr("error", str(error))
            raise optuna.TrialPruned from error

    return objective


def gbdt_objective(
    data: Interactions, rounds: int, seed: int, choose_by: Protocol
) -> Callable[[optuna.Trial], float]:
    """Make the objective of gbdt: valid AUC, given learning rate, leaves and l2.

    Source: ranges are our choice.
    """
    matrix, _ = features(data, np.arange(len(data)), choose_by)

    def objective(trial: optuna.Trial) -> float:
        rate = short(trial.suggest_float("learning_rate", *GBDT_RATES, log=True))
        leaves = trial.suggest_categorical("max_leaf_nodes", LEAVES)
        l2 = short(trial.suggest_float("l2_regularization", *L2, log=True))
        start = time.perf_counter()
        fitted = fit_gbdt(data, matrix, Boosting(rate, leaves, l2, rounds), seed)
        trial.set_user_attr("best_round", fitted.rounds)
        trial.set_user_attr("seconds", round(time.perf_counter() - start, 1))
        return fitted.valid_auc

    return objective


def in_range(values: dict[str, Any]) -> bool:
    """Test whether values of params.yaml are in the ranges, so that they can be tried first."""
    ranges = {"learning_rate": LEARNING_RATES, "weight_decay": WEIGHT_DECAYS}
    if "max_leaf_nodes" in values:
        ranges = {"learning_rate": GBDT_RATES, "l2_regularization": L2}
    listed = (
        values.get("embedding_size", WIDTHS[0]) in WIDTHS
        and values.get("max_leaf_nodes", LEAVES[0]) in LEAVES
    )
    return listed and all(low <= values[key] <= high for key, (low, high) in ranges.items())
