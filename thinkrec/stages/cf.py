"""Stage `cf`: train the collaborative encoders."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkrec.config.sections import Cf, Encoder
from thinkrec.errors import ConfigError
from thinkrec.files import read_json, whole, write_json
from thinkrec.layout import Layout, require

if TYPE_CHECKING:
    from thinkrec.data.tables import Interactions

log = logging.getLogger(__name__)
_FACTS = ("best_epoch", "epochs", "valid_auc")


def train_encoders(layout: Layout, cf: Cf, seed: int) -> dict[str, Any]:
    """Train every encoder of `cf.models` on train's labels; the epoch is chosen on valid.

    A finished encoder waits in the work folder until all are done, an unfinished one has a checkpoint
    there; both are taken up again only with the same parameters, seed and data.

    Returns:
        For each encoder its best epoch, epochs run, and valid AUC.

    Raises:
        ConfigError: a model has no width or weight decay.
        MissingInputError: `thinkrec prep` was not run.
        DataError: train or valid has no row, or one class only.
    """
    _check(cf)
    require(layout, "interactions", "users", "items")
    from thinkrec.data.tables import Interactions

    data = Interactions.load(layout.interactions)
    done = {name: _finished(layout, cf, name, seed, data) for name in dict.fromkeys(cf.models)}
    with whole(layout.encoder(cf.models[0]).parent) as beside:
        beside.mkdir()
        for name, folder in done.items():
            shutil.copytree(folder, beside / name, ignore=shutil.ignore_patterns("curve.json"))
    _write_curve(
        layout.curve("cf"), {name: read_json(folder / "curve.json") for name, folder in done.items()}
    )
    shutil.rmtree(layout.work("cf"))
    configs = {name: read_json(layout.encoder(name) / "config.json") for name in done}
    return {name: {fact: config[fact] for fact in _FACTS} for name, config in configs.items()}


def _check(cf: Cf) -> None:
    for key, values in (("width", cf.width), ("weight_decay", cf.weight_decay)):
        missing = [name for name in cf.models if name not in values]
        if missing:
            raise ConfigError(
                f"params.yaml: cf.{key} has no value for {', '.join(missing)}, which cf.models names"
            )


def _finished(layout: Layout, cf: Cf, name: Encoder, seed: int, data: Interactions) -> Path:
    """Folder of a finished encoder: the one that an earlier, killed run left, or a new one."""
    from thinkrec.cf.checkpoint import Checkpoint
    from thinkrec.cf.examples import Known, Shape
    from thinkrec.cf.folder import ENCODERS, save_encoder
    from thinkrec.cf.trainer import Schedule, fit

    users, items = highest_id(layout.users, "user_id"), highest_id(layout.items, "item_id")
    shape = Shape(cf.width[name], cf.history_length, cf.graph_layers)
    schedule = Schedule(cf.learning_rate, cf.weight_decay[name], cf.batch_size, cf.epochs, cf.patience)
    said = {"shape": vars(shape), "schedule": vars(schedule), "seed": seed}
    key = _key(layout.interactions, {"encoder": name, "users": users, "items": items, **said})
    folder = layout.work("cf") / f"{name}-{key}"
    if folder.exists():
        log.info("%s was finished by an earlier run that did not end", name)
        return folder
    model = ENCODERS[name](shape, Known.of(data, users, items), seed)
    progress = fit(model, data, schedule, seed, Checkpoint(layout.work("cf") / f"{name}.safetensors", key))
    facts = dict(zip(_FACTS, (progress.best_epoch, progress.epoch, progress.best_auc), strict=True))
    with whole(folder) as beside:
        save_encoder(beside, model, data, {**facts, "schedule": vars(schedule), "seed": seed})
        write_json(beside / "curve.json", progress.curve)
    return folder


def highest_id(path: Path, column: str) -> int:
    """Highest id in a column of a Parquet file, 0 when it has no rows."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    return pc.max(pq.read_table(path, columns=[column])[column]).as_py() or 0


def _key(interactions: Path, said: dict[str, Any]) -> str:
    """Names parameters and data, so that no other configuration takes up this one's work."""
    with interactions.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(json.dumps(said, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def _write_curve(path: Path, curves: dict[str, list[tuple[int, str, float]]]) -> None:
    with whole(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "epoch", "series", "value"])
        for name, curve in curves.items():
            writer.writerows([name, *point] for point in curve)
