"""Training of all encoders: logistic loss on labels, Adam, early stopping on valid AUC."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from thinkrec.cf.checkpoint import Checkpoint, Progress
from thinkrec.cf.encoder import Encoder
from thinkrec.cf.examples import Examples
from thinkrec.data.classes import check_classes
from thinkrec.data.tables import Interactions
from thinkrec.errors import ModelError
from thinkrec.progress import Bar
from thinkrec.protocols import Protocol

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """Training hyperparameters; fields of the same names in the `cf` section."""

    learning_rate: float
    weight_decay: float
    batch_size: int
    epochs: int
    patience: int


def fit(
    model: Encoder,
    data: Interactions,
    schedule: Schedule,
    seed: int,
    choose_by: Protocol,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Progress], None] | None = None,
    show: bool = True,
) -> Progress:
    """Train `model` and load the weights of its best epoch.

    Valid labels choose the epoch and what `Encoder.tune` sets; test is not read. Each epoch seeds its order
    and dropout with (seed, epoch), so that a resumed training equals an uninterrupted one. On a GPU,
    sequence encoders use bfloat16 autocast; weights and losses stay in float32.

    Args:
        model: the encoder with its initial weights.
        data: the interactions.
        schedule: training hyperparameters.
        seed: random seed of order and dropout.
        choose_by: protocol of the valid figures.
        checkpoint: file to resume from and to write.
        on_epoch: called after every epoch; may raise to end the training.
        show: whether to show a progress bar and log a line at the end.

    Returns:
        The best epoch, its valid AUC (before `tune`), and the curve: train_loss, valid_loss and valid_auc
        per epoch.

    Raises:
        DataError: train or valid has no rows, or one class only.
        ModelError: the training diverged.

    Source: the paper (logistic loss, Adam); the release (early stopping on valid AUC).
    """
    check_classes(data)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    examples = model.examples(data).to(device)
    model.initialize(examples)
    adam = torch.optim.Adam(_groups(model, schedule.weight_decay), schedule.learning_rate, fused=True)
    progress = checkpoint.resume(model, adam) if checkpoint else Progress()
    name = f"{model.name}, seed {seed}"
    bar = Bar(
        total=schedule.epochs,
        at_most=True,
        initial=progress.epoch,
        desc=f"cf: {name}",
        unit="epoch",
        disable=not show,
        leave=None,
    )
    with bar, torch.random.fork_rng():
        while progress.epoch < min(schedule.epochs, progress.best_epoch + schedule.patience):
            progress.epoch += 1
            loss = _epoch(model, examples, adam, schedule.batch_size, [seed, progress.epoch])
            _validate(model, data, loss, progress, choose_by)
            if checkpoint:
                checkpoint.save(model, adam, progress)
            if on_epoch:
                on_epoch(progress)
            bar.update()
            bar.set_postfix(best=f"{progress.best_auc:.4f} at {progress.best_epoch}")
    model.load_state_dict(progress.best)
    model.tune(data, choose_by)
    best, auc, run = progress.best_epoch, progress.best_auc, progress.epoch
    level = logging.INFO if show else logging.DEBUG
    log.log(level, "%s: valid AUC %.4f after epoch %d of %d", name, auc, best, run)
    return progress


def _groups(model: Encoder, weight_decay: float) -> list[dict[str, Any]]:
    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    undecayed = [value for name, value in named.items() if name in model.no_weight_decay]
    decayed = [value for name, value in named.items() if name not in model.no_weight_decay]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": undecayed, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _epoch(
    model: Encoder, examples: Examples, adam: torch.optim.Adam, batch_size: int, seed: list[int]
) -> float:
    """Train one epoch in random order; return the mean loss."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(int(rng.integers(2**62)))
    model.train()
    device = examples.user.device
    order = torch.from_numpy(rng.permutation(len(examples))).to(device)
    targets = int(examples.in_loss.sum())
    batches = min(max(1, round(targets / batch_size)), model.max_steps or targets)
    total = torch.zeros((), device=device)
    for index in order.chunk(batches):
        with torch.autocast(
            device.type, torch.bfloat16, enabled=model.mixed_precision and device.type == "cuda"
        ):
            losses = model.losses(examples.take(index))
        adam.zero_grad()
        losses.mean().backward()
        adam.step()
        total += losses.detach().sum()
    return float(total) / targets


def _validate(
    model: Encoder, data: Interactions, loss: float, progress: Progress, choose_by: Protocol
) -> None:
    """Score valid, extend the curve, keep the weights if they are the best so far."""
    rows = data.rows("valid")
    label, score = data.label[rows], model.score(data, rows, choose_by)
    with np.errstate(invalid="ignore"):
        valid_loss = float(np.logaddexp(0, np.where(label == 1, -score, score)).mean())
    weights = all(bool(torch.isfinite(value).all()) for value in model.parameters())
    if not (np.isfinite(score).all() and np.isfinite(valid_loss + loss) and weights):
        raise ModelError(
            f"{model.name}: scores, losses or weights are not finite after epoch {progress.epoch}: "
            f"the training diverged; lower its learning_rate under cf.encoders.{model.name} or tuned in "
            "params.yaml"
        )
    auc = float(roc_auc_score(label, score))
    values = {"train_loss": loss, "valid_loss": valid_loss, "valid_auc": auc}
    progress.curve += [(progress.epoch, series, value) for series, value in values.items()]
    if auc > progress.best_auc:
        progress.best_epoch, progress.best_auc = progress.epoch, auc
        progress.best = {name: value.detach().clone() for name, value in model.state_dict().items()}
