"""Encoders trained again with valid and test spoiled: their vectors must not change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thinkrec.audit.check import Check, fault, judged, skipped
from thinkrec.audit.retrain import (
    INCOMPARABLE,
    ITEM,
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
"""Tolerance for another order of sums (our choice). On the embedded set, SASRec differs by 0.002 between one
and two threads; 90 rows of valid and test leaked into train change MF by 0.19 or more."""
_ROUNDING = 1e-5
"""Tolerance between vectors on disk and those of the weights, if a GPU computed them."""
_NEEDED = ("schedule", "seed", "best_epoch", "epochs", "valid_auc")
_AGAIN = "run `thinkrec cf` again"


def encoders(layout: Layout) -> list[str]:
    """List the encoders under models/D/cf, in alphabetical order."""
    folder = layout.encoder("any").parent
    return sorted(path.parent.name for path in folder.glob("*/config.json")) if folder.exists() else []


def check_vectors(layout: Layout, data: Interactions, name: str, seed: int | None = None) -> list[Check]:
    """Check that all files of an encoder depend on train alone.

    Only train's users and items may have vectors; vectors.safetensors and config.json must follow from the
    weights; and a second training with valid and test spoiled (other items, flipped labels, other timestamps)
    must give bitwise equal weights and vectors on one machine with the same number of threads, and the true
    valid rows must choose the same epoch. If not, a third training on the true interactions distinguishes a
    leak from another order of sums. Encoders of further seeds are checked likewise.

    Args:
        layout: paths of the encoders.
        data: the interactions.
        name: of the encoder.
        seed: seed of the stage `cf`, if known.

    Raises:
        ModelError: the encoder's folder can't be read.
    """
    folder = layout.encoder(name)
    vectors, config = load_vectors(folder), read_json(folder / "config.json")
    checks = [_known(data, vectors, name), _consistent(folder, data, vectors, config, name)]
    checks.append(_trained(layout, data, folder, name, vectors))
    seed_folders = [path for path in sorted(folder.glob("seeds/*")) if path.is_dir()]
    checks += [_trained(layout, data, path, f"{name}, seed {path.name}", None) for path in seed_folders]
    recorded = {
        "": config.get("seed"),
        **{path.name: read_json(path / "config.json").get("seed") for path in seed_folders},
    }
    if seed is not None:
        checks.append(_seeds(name, seed, recorded))
    return checks


def _seeds(name: str, seed: int, recorded: dict[str, Any]) -> Check:
    """Check that seeds are consecutive from the project's, so that none was selected."""
    others = [number for number in recorded if number]
    faults = (
        [f"the first was trained with seed {recorded['']}, params.yaml says {seed}"]
        if recorded[""] != seed
        else []
    )
    wrong = [number for number in others if str(recorded[number]) != number]
    faults += fault(len(wrong), "further ones were trained with another seed than their folder says")
    if sorted(others, key=lambda one: (len(one), one)) != [str(seed + 1 + k) for k in range(len(others))]:
        faults.append(f"further seeds are {', '.join(others)}, not those that follow {seed}")
    summary = f"{len(recorded)}, from {seed} on"
    return judged("vectors", f"{name}: seeds that follow each other", faults and [*faults, _AGAIN], summary)


def _consistent(
    folder: Path, data: Interactions, vectors: Vectors, config: dict[str, Any], name: str
) -> Check:
    """Check that vectors and config.json, which later stages read, follow from the weights."""
    claim = f"{name}: vectors.safetensors and config.json are those of the weights"
    model = load_encoder(folder)
    own = all_tensors(model, data)
    faults = []
    for what, one, other in (("user", vectors.user, own[USER]), ("item", vectors.item, own[ITEM])):
        if one.shape != other.shape:
            faults.append(f"{what} vectors are {list(one.shape)}, the weights give {list(other.shape)}")
            continue
        off = (one.double() - other.double()).abs().amax(1) > _ROUNDING * (1 + other.double().abs().amax())
        faults += fault(int(off.sum()), f"{what}s have another vector than the weights give")
    recorded = {
        "mean": vectors.mean,
        "users": config["user_shape"][0] - 1,
        "items": config["item_shape"][0] - 1,
    }
    want = {"mean": float(model.mean), "users": data.users, "items": int(data.item_id.max(initial=0))}
    faults += [
        f"config.json: {key} {recorded[key]}, not {want[key]}"
        for key in recorded
        if recorded[key] != want[key]
    ]
    if config["encoder"] != name:
        faults.append(f"config.json calls it {config['encoder']}")
    return judged("vectors", claim, faults and [*faults, _AGAIN], "the same vectors, mean and counts")


def _trained(layout: Layout, data: Interactions, folder: Path, name: str, vectors: Vectors | None) -> Check:
    """Train one folder's encoder again; `vectors` are its vectors, if it has any."""
    claim = f"{name}: trained without valid and test"
    config = read_json(folder / "config.json")
    missing = [key for key in _NEEDED if key not in config]
    if missing:
        why = f"{folder}: config.json lacks {', '.join(missing)}: {_AGAIN}"
        return skipped("vectors", claim, why)
    disk: Tensors = dict(load_encoder(folder).state_dict())
    if vectors is not None:
        disk |= {USER: vectors.user, ITEM: vectors.item}
    validation = spoiled(data, held_out(data, ("test",)))
    again = train_again(spoiled(data, held_out(data)), config, validation)
    tensors = {key: value for key, value in again.tensors.items() if key in disk or key not in (USER, ITEM)}
    apart = difference(disk, tensors)
    summary = f"{config['best_epoch']} epochs trained again with valid and test spoiled: "
    if apart == 0:
        curve = curve_of(layout, name) if vectors is not None else []
        faults = _chosen(config, again, curve)
        return judged(
            "vectors", claim, faults and [*faults, _AGAIN], summary + "equal in every bit", difference=0.0
        )
    leak = difference(train_again(data, config, validation).tensors, again.tensors)
    return _apart(claim, summary, apart, leak, _gpu(layout))


def _chosen(config: dict[str, Any], again: Trained, curve: Sequence[tuple[int, str, float]]) -> list[str]:
    """Compare what valid chose with config.json and the curve."""
    schedule = config["schedule"]
    expected = {
        "best_epoch": again.best_epoch,
        "epochs": min(schedule["epochs"], again.best_epoch + schedule["patience"]),
        "valid_auc": again.valid_auc,
        "settled": again.settled,
    }
    faults = [
        f"valid leads to {key} {value}, config.json says {config.get(key)}"
        for key, value in expected.items()
        if config.get(key) != value
    ]
    if curve and sorted(curve) != sorted(again.curve):
        faults.append("the curve in cf.csv is another than that of the training")
    return faults


def _gpu(layout: Layout) -> str | None:
    """Name the GPU that trained the encoders or would train them here; None if there is none."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    record = read_record(layout, "cf")
    device = record["device"] if record else "cpu"
    return None if device.startswith("cpu") else device


def _apart(claim: str, summary: str, distance: float, leak: float, gpu: str | None) -> Check:
    """Judge vectors that are not equal.

    Args:
        claim: of the check.
        summary: of the training.
        distance: between disk and the training with valid and test spoiled.
        leak: difference between that and a training with the true valid and test, both made here.
        gpu: the GPU, whose order of sums is not fixed, or None.
    """
    figures = {"difference": distance, "leak": leak}
    off = (
        f"off by {distance:.2g} of their length"
        if distance < INCOMPARABLE
        else "in part equal, in part not, or of other sizes"
    )
    if max(distance, leak) <= TOLERANCE and (leak == 0 or gpu):
        summary += (
            f"{off}, within {TOLERANCE:g}, as with other sums: another machine, or another count of threads"
        )
        return judged("vectors", claim, [], summary, **figures)
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
    return judged("vectors", claim, [fault], summary, **figures)


def _known(data: Interactions, vectors: Vectors, name: str) -> Check:
    """Check that only users and items of train have a vector."""
    train, faults = data.rows("train"), []
    for kind, ids, known in (
        ("users", data.user_id, vectors.known_user),
        ("items", data.item_id, vectors.known_item),
    ):
        unknown = np.setdiff1d(np.flatnonzero(known.numpy()), ids[train])
        faults += fault(
            len(unknown), f"{kind} have a vector and no train row", f"id {next(iter(unknown), '')}"
        )
    users, items = int(vectors.known_user.sum()), int(vectors.known_item.sum())
    summary = f"{users:,} users and {items:,} items, all of train"
    claim = f"{name}: vectors for train's users and items only"
    return judged("vectors", claim, faults and [*faults, _AGAIN], summary)
