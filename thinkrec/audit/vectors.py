"""Encoders trained again where valid and test say something else: their vectors must come out the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thinkrec.audit.check import Check, judged, skipped, some
from thinkrec.audit.retrain import (
    ITEM,
    OTHER,
    USER,
    Tensors,
    Trained,
    all_tensors,
    curve_of,
    difference,
    train_again,
)
from thinkrec.audit.spoil import held_out, spoiled
from thinkrec.cf.folder import load_encoder
from thinkrec.cf.tensors import Vectors, load_vectors
from thinkrec.data.tables import Interactions
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.runs import read_record

TOLERANCE = 0.02
"""Largest distance that sums in another order may make (our choice). On the embedded set SASRec with one
thread lies 0.002 from itself with two; 90 rows of valid and test among train's move MF by 0.19 or more."""
_ROUNDING = 1e-5
"""Largest distance of vectors on disk from those of the weights on disk, where a GPU made them."""
_NEEDED = ("schedule", "seed", "best_epoch", "epochs", "valid_auc")
_AGAIN = "run `thinkrec cf` again"


def encoders(layout: Layout) -> list[str]:
    """Names of the encoders that lie under models/D/cf, in alphabetical order."""
    folder = layout.encoder("any").parent
    return sorted(path.parent.name for path in folder.glob("*/config.json")) if folder.exists() else []


def check_vectors(layout: Layout, data: Interactions, name: str, seed: int | None = None) -> list[Check]:
    """Check that an encoder knows train alone, in every file of its folder.

    Who has a vector; whether vectors.safetensors and config.json are those of the weights; and a second
    training for as many epochs as the first, on a copy of the interactions in which valid and test have other
    items, turned labels and other moments. On one machine, with the same count of threads, vectors and
    weights must be equal in every bit, and valid as it is must choose the same epoch. Where they are not, a
    third training, on the interactions as they are, tells a leak from sums in another order. Encoders of
    further seeds, in the folder `seeds`, are trained again likewise.

    Args:
        layout: where the encoders lie.
        data: the interactions.
        name: of the encoder.
        seed: that the stage `cf` ran with, where it is known.

    Raises:
        ModelError: the encoder's folder can't be read.
    """
    folder = layout.encoder(name)
    found, config = load_vectors(folder), read_json(folder / "config.json")
    checks = [_known(data, found, name), _consistent(folder, data, found, config, name)]
    checks.append(_trained(layout, data, folder, name, found))
    more = [path for path in sorted(folder.glob("seeds/*")) if path.is_dir()]
    checks += [_trained(layout, data, path, f"{name}, seed {path.name}", None) for path in more]
    said = {
        "": config.get("seed"),
        **{path.name: read_json(path / "config.json").get("seed") for path in more},
    }
    if seed is not None:
        checks.append(_seeds(name, seed, said))
    return checks


def _seeds(name: str, seed: int, said: dict[str, Any]) -> Check:
    """The first is of the project's seed, the others of the numbers they are called by, none chosen."""
    others = [number for number in said if number]
    faults = (
        [f"the first was trained with seed {said['']}, params.yaml says {seed}"] if said[""] != seed else []
    )
    wrong = [number for number in others if str(said[number]) != number]
    faults += some(len(wrong), "further ones were trained with another seed than their folder says")
    if sorted(others, key=lambda one: (len(one), one)) != [str(seed + 1 + k) for k in range(len(others))]:
        faults.append(f"further seeds are {', '.join(others)}, not those that follow {seed}")
    said_ = f"{len(said)}, from {seed} on"
    return judged("vectors", f"{name}: seeds that follow each other", faults and [*faults, _AGAIN], said_)


def _consistent(folder: Path, data: Interactions, found: Vectors, config: dict[str, Any], name: str) -> Check:
    """Vectors and numbers that later stages read are those of the weights, which are trained again."""
    claim = f"{name}: vectors.safetensors and config.json are those of the weights"
    model = load_encoder(folder)
    own = all_tensors(model, data)
    faults = []
    for what, one, other in (("user", found.user, own[USER]), ("item", found.item, own[ITEM])):
        if one.shape != other.shape:
            faults.append(f"{what} vectors are {list(one.shape)}, the weights give {list(other.shape)}")
            continue
        off = (one.double() - other.double()).abs().amax(1) > _ROUNDING * (1 + other.double().abs().amax())
        faults += some(int(off.sum()), f"{what}s have another vector than the weights give")
    said = {"mean": found.mean, "users": config["user_shape"][0] - 1, "items": config["item_shape"][0] - 1}
    want = {"mean": float(model.mean), "users": data.users, "items": int(data.item_id.max(initial=0))}
    faults += [f"config.json: {key} {said[key]}, not {want[key]}" for key in said if said[key] != want[key]]
    if config["encoder"] != name:
        faults.append(f"config.json calls it {config['encoder']}")
    return judged("vectors", claim, faults and [*faults, _AGAIN], "the same vectors, mean and counts")


def _trained(layout: Layout, data: Interactions, folder: Path, name: str, found: Vectors | None) -> Check:
    """Train one folder's encoder again; `found` are its vectors, where it has some."""
    claim = f"{name}: trained without valid and test"
    config = read_json(folder / "config.json")
    missing = [key for key in _NEEDED if key not in config]
    if missing:
        why = f"{folder}: config.json lacks {', '.join(missing)}: {_AGAIN}"
        return skipped("vectors", claim, why)
    disk: Tensors = dict(load_encoder(folder).state_dict())
    if found is not None:
        disk |= {USER: found.user, ITEM: found.item}
    choose = spoiled(data, held_out(data, ("test",)))
    again = train_again(spoiled(data, held_out(data)), config, choose)
    tensors = {key: value for key, value in again.tensors.items() if key in disk or key not in (USER, ITEM)}
    apart = difference(disk, tensors)
    said = f"{config['best_epoch']} epochs trained again with valid and test spoiled: "
    if apart == 0:
        curve = curve_of(layout, name) if found is not None else []
        faults = _chosen(config, again, curve)
        return judged(
            "vectors", claim, faults and [*faults, _AGAIN], said + "equal in every bit", difference=0.0
        )
    leak = difference(train_again(data, config, choose).tensors, again.tensors)
    return _apart(claim, said, apart, leak, _gpu(layout))


def _chosen(config: dict[str, Any], again: Trained, curve: Sequence[tuple[int, str, float]]) -> list[str]:
    """What valid chose, beside what config.json and the curve say it chose."""
    schedule = config["schedule"]
    want = {
        "best_epoch": again.best_epoch,
        "epochs": min(schedule["epochs"], again.best_epoch + schedule["patience"]),
        "valid_auc": again.valid_auc,
        "settled": again.settled,
    }
    faults = [
        f"valid leads to {key} {value}, config.json says {config.get(key)}"
        for key, value in want.items()
        if config.get(key) != value
    ]
    if curve and sorted(curve) != sorted(again.curve):
        faults.append("the curve in cf.csv is another than that of the training")
    return faults


def _gpu(layout: Layout) -> str | None:
    """The GPU that trained the encoders, or that would train them again here; None where there is none."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    record = read_record(layout, "cf")
    device = record["device"] if record else "cpu"
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
    off = (
        f"off by {apart:.2g} of their length"
        if apart < OTHER
        else "in part equal, in part not, or of other sizes"
    )
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
    claim = f"{name}: vectors for train's users and items only"
    return judged("vectors", claim, faults and [*faults, _AGAIN], said)
