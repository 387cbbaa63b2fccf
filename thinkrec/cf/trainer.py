"""The one trainer of all encoders: logistic loss on labels, Adam, early stopping on valid AUC."""

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

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast an encoder learns; the fields of the `cf` section of the same names."""

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
    checkpoint: Checkpoint | None = None,
    told: Callable[[Progress], None] | None = None,
    show: bool = True,
) -> Progress:
    """Train `model`; it ends with the weights of its best epoch.

    Valid labels choose the epoch, and what `Encoder.settle` chooses afterwards; test is not read. Each epoch
    draws its order and dropout from (seed, epoch), so that a resumed training equals one that was never
    killed. On a GPU, sequence encoders compute in bfloat16 where autocast deems it safe; weights and losses
    stay in fp32.

    Args:
        model: the encoder, with its starting weights.
        data: the interactions.
        schedule: how long and how fast.
        seed: of orders and dropout.
        checkpoint: where to go on from and to write to.
        told: called after every epoch; what it raises ends the training.
        show: a progress bar, and a log line at the end.

    Returns:
        The best epoch, its valid AUC (before `settle`), and the curve: train_loss, valid_loss, valid_auc of
        each epoch.

    Raises:
        DataError: train or valid has no row, or one class only.
        ModelError: the training diverged.

    Source: the paper (logistic loss, Adam); the release (early stopping on valid AUC).
    """
    check_classes(data)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    examples = model.examples(data).to(device)
    model.begin(examples)
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
            _judge(model, data, loss, progress)
            if checkpoint:
                checkpoint.save(model, adam, progress)
            if told:
                told(progress)
            bar.update()
            bar.set_postfix(best=f"{progress.best_auc:.4f} at {progress.best_epoch}")
    model.load_state_dict(progress.best)
    model.settle(data)
    best, auc, run = progress.best_epoch, progress.best_auc, progress.epoch
    level = logging.INFO if show else logging.DEBUG
    log.log(level, "%s: valid AUC %.4f after epoch %d of %d", name, auc, best, run)
    return progress


def _groups(model: Encoder, weight_decay: float) -> list[dict[str, Any]]:
    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    free = [value for name, value in named.items() if name in model.undecayed]
    held = [value for name, value in named.items() if name not in model.undecayed]
    groups = [{"params": held, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _epoch(
    model: Encoder, examples: Examples, adam: torch.optim.Adam, batch_size: int, seed: list[int]
) -> float:
    """One pass in random order; returns the mean loss of its targets."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(int(rng.integers(2**62)))
    model.train()
    device = examples.user.device
    order = torch.from_numpy(rng.permutation(len(examples))).to(device)
    counted = int(examples.counted.sum())
    batches = min(max(1, round(counted / batch_size)), model.most_steps or counted)
    total = torch.zeros((), device=device)
    for index in order.chunk(batches):
        with torch.autocast(device.type, torch.bfloat16, enabled=model.mixed and device.type == "cuda"):
            losses = model.losses(examples.take(index))
        adam.zero_grad()
        losses.mean().backward()
        adam.step()
        total += losses.detach().sum()
    return float(total) / counted


def _judge(model: Encoder, data: Interactions, loss: float, progress: Progress) -> None:
    """Score valid with rolling histories, note the curve, keep the weights when they are the best so far."""
    rows = data.rows("valid")
    label, score = data.label[rows], model.score(data, rows, "rolling")
    with np.errstate(invalid="ignore"):
        valid_loss = float(np.logaddexp(0, np.where(label == 1, -score, score)).mean())
    weights = all(bool(torch.isfinite(value).all()) for value in model.parameters())
    if not (np.isfinite(score).all() and np.isfinite(valid_loss + loss) and weights):
        raise ModelError(
            f"{model.name}: scores, losses or weights are not finite after epoch {progress.epoch}, "
            f"the training diverged; lower its learning_rate under cf.encoders.{model.name} or tuned in "
            "params.yaml"
        )
    auc = float(roc_auc_score(label, score))
    named = {"train_loss": loss, "valid_loss": valid_loss, "valid_auc": auc}
    progress.curve += [(progress.epoch, series, value) for series, value in named.items()]
    if auc > progress.best_auc:
        progress.best_epoch, progress.best_auc = progress.epoch, auc
        progress.best = {name: value.detach().clone() for name, value in model.state_dict().items()}
