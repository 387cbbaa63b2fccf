"""Encoders trained again where valid and test say something else: their vectors must come out the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from thinkrec.audit.check import Check, judged, skipped, some
from thinkrec.audit.spoil import held_out, spoiled
from thinkrec.cf.checkpoint import Progress
from thinkrec.cf.examples import Known, Shape
from thinkrec.cf.folder import ENCODERS, Vectors, load_vectors
from thinkrec.cf.trainer import Schedule, fit
from thinkrec.data.tables import Interactions
from thinkrec.errors import ModelError
from thinkrec.files import read_json
from thinkrec.layout import Layout

TOLERANCE = 0.02
"""Largest distance that sums in another order may make (our choice). On the embedded set SASRec with one
thread lies 0.002 from itself with two; 90 rows of valid and test among train's move MF by 0.19 or more."""
_OTHER = 1e9  # difference of tensors that can't be compared; finite, since it goes into JSON
_COUNTED = ("counts",)
"""Tensors of fractions that are counted, not learned: equal or wrong."""
_NEEDED = ("schedule", "seed", "best_epoch")


def encoders(layout: Layout) -> list[str]:
    """Names of the encoders that lie under models/D/cf, in alphabetical order."""
    folder = layout.encoder("any").parent
    return sorted(path.parent.name for path in folder.glob("*/config.json")) if folder.exists() else []


def check_vectors(layout: Layout, data: Interactions, name: str) -> list[Check]:
    """Check that an encoder knows train alone: by who has a vector, and by training it again.

    The second training runs for as many epochs as the first one's best, on a copy of the interactions in
    which valid and test have other items, turned labels and other moments. On one machine, with the same
    count of threads, vectors and weights must be equal in every bit. Where they are not, a third training, on
    the interactions as they are, tells a leak from sums in another order. (That valid chooses the epoch, and
    the share of a label-aware encoder's generosity, is allowed; seeds after the first are not trained again.)

    Raises:
        ModelError: the encoder's folder can't be read.
    """
    folder = layout.encoder(name)
    found, config = load_vectors(folder), read_json(folder / "config.json")
    missing = [key for key in _NEEDED if key not in config]
    claim = f"{name}: trained without valid and test"
    if missing:
        why = f"{folder}: config.json lacks {', '.join(missing)}: run `thinkrec cf` again"
        return [_known(data, found, name), skipped("vectors", claim, why)]
    disk = {"user": found.user, "item": found.item, **load_file(folder / "model.safetensors")}
    choose = spoiled(data, held_out(data, ("test",)))
    again = train_again(spoiled(data, held_out(data)), config, found, choose)
    apart = difference(disk, again)
    said = f"{config['best_epoch']} epochs trained again with valid and test spoiled: "
    if apart == 0:
        same = judged("vectors", claim, [], said + "equal in every bit", difference=0.0)
        return [_known(data, found, name), same]
    leak = difference(train_again(data, config, found, choose), again)
    return [_known(data, found, name), _apart(claim, said, apart, leak, _gpu(layout))]


def _gpu(layout: Layout) -> str | None:
    """The GPU that trained the encoders, or that would train them again here; None where there is none."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    record = layout.record("cf")
    device = str(read_json(record)["device"]) if record.exists() else "cpu"
    return None if device.startswith("cpu") else device


def _apart(claim: str, said: str, apart: float, leak: float, gpu: str | None) -> Check:
    """Judge vectors that did not come out equal.

    Args:
        claim: the check's.
        said: how the training went.
        apart: difference between disk and the training with valid and test spoiled.
        leak: difference between that and one with valid and test as they are, both made here.
        gpu: whose sums come in no fixed order.
    """
    figures = {"difference": apart, "leak": leak}
    off = f"off by {apart:.2g} of their length" if apart < _OTHER else "of other sizes"
    if max(apart, leak) <= TOLERANCE and (leak == 0 or gpu):
        said += (
            f"{off}, within {TOLERANCE:g}, as with other sums: another machine, or another count of threads"
        )
        return judged("vectors", claim, [], said, **figures)
    if gpu:
        why = f"{off}; trained on {gpu}, whose sums can't be repeated"
        return skipped("vectors", claim, f"{why}: train on a CPU to prove it", **figures)
    if leak > 0:
        fault = f"valid or test rows change the vectors, by {leak:.2g} of their length"
    else:
        fault = (
            f"config.json and train's rows give other vectors, with valid and test as without ({off}): these "
            "come from other data or code; run `thinkrec cf` again"
        )
    return judged("vectors", claim, [fault], said, **figures)


def train_again(
    data: Interactions, config: dict[str, Any], found: Vectors, choose: Interactions
) -> dict[str, Tensor]:
    """Vectors, `user` and `item`, and weights after `best_epoch` epochs of the training in `config`.

    What valid may choose beside the epoch (`Encoder.settle`) is chosen on `choose`, whose valid rows are as
    they are and whose test rows are spoiled.

    Raises:
        ModelError: config.json holds what this version's encoders do not know.
    """
    epochs = int(config["best_epoch"])
    try:
        # Patience as long as the training: valid decides nothing.
        schedule = replace(Schedule(**config["schedule"]), epochs=epochs, patience=epochs)
        known = Known.of(data, len(found.user) - 1, len(found.item) - 1)
        model = ENCODERS[config["encoder"]](Shape(**config["shape"]), known, config["seed"])
    except (TypeError, IndexError) as error:
        raise ModelError(
            f"encoder {config['encoder']}: config.json does not fit this version or the data ({error}); run "
            "`thinkrec cf` again"
        ) from error
    last: dict[str, Tensor] = {}

    def keep(progress: Progress) -> None:
        if progress.epoch == epochs:
            last.update({key: value.detach().clone() for key, value in model.state_dict().items()})

    with _threads(config.get("threads")):
        fit(model, data, schedule, config["seed"], told=keep)
    model.load_state_dict(last)
    model.settle(choose)
    return {**model.cpu().vectors(data), **model.state_dict()}


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Length of the difference of two sets of tensors over the length of `one`; 0 only for equal bits.

    _OTHER where shapes or what no sum makes (whole numbers: who is known; counts of likes) don't match, or
    one holds no finite numbers.
    """
    if {key: value.shape for key, value in one.items()} != {key: value.shape for key, value in other.items()}:
        return _OTHER
    unequal = [key for key, value in one.items() if not torch.equal(value, other[key])]
    if not unequal:
        return 0.0
    learned = [key for key, value in one.items() if value.is_floating_point() and key not in _COUNTED]
    if not set(unequal) <= set(learned) or ("steady" in unequal and set(unequal) <= {"steady", "user"}):
        return _OTHER  # a share that the same weights do not lead to on valid
    apart = sum(float((one[key].double() - other[key].double()).square().sum()) for key in unequal)
    every = sum(float(one[key].double().square().sum()) for key in learned)
    found = (apart / max(every, 1e-12)) ** 0.5
    return max(found, 1e-12) if found < _OTHER else _OTHER  # NaN is not below


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """As many threads as the first training had, where config.json knows: the order of sums hangs on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _known(data: Interactions, found: Vectors, name: str) -> Check:
    """Whoever train does not hold has no vector."""
    train, faults = data.rows("train"), []
    for kind, ids, known in (
        ("users", data.user_id, found.known_user),
        ("items", data.item_id, found.known_item),
    ):
        strange = np.setdiff1d(np.flatnonzero(known.numpy()), ids[train])
        faults += some(
            len(strange), f"{kind} have a vector and no train row", f"id {next(iter(strange), '')}"
        )
    users, items = int(found.known_user.sum()), int(found.known_item.sum())
    said = f"{users:,} users and {items:,} items, all of train"
    return judged("vectors", f"{name}: vectors for train's users and items only", faults, said)
