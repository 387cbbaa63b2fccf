"""Stage `cf`: train the collaborative encoders."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkrec.artifacts.marks import WHOLE, is_whole, mark_whole
from thinkrec.config.names import Encoder
from thinkrec.config.problems import later_at_odds
from thinkrec.config.sections import Cf, EncoderChoice, Params
from thinkrec.files import discard, read_json, whole, write_curve, write_json
from thinkrec.layout import Layout, require

if TYPE_CHECKING:
    from thinkrec.cf.encoder import Encoder as Trained
    from thinkrec.cf.examples import Shape
    from thinkrec.cf.trainer import Schedule
    from thinkrec.data.tables import Interactions
    from thinkrec.progress import Bar
    from thinkrec.protocols import Protocol

log = logging.getLogger(__name__)
_FACTS = ("best_epoch", "epochs", "valid_auc")
_OWN = ("curve.json", WHOLE)
"""Files of a finished encoder that are the stage's own."""


def train_encoders(layout: Layout, params: Params) -> dict[str, Any]:
    """Train every encoder of `cf.models` on train's labels, once a seed; the epoch is chosen on valid.

    The first seed's encoder is what later stages use; the others lie in its folder `seeds`, for the
    spread of results only. A finished encoder waits in the work folder until all are done, an unfinished
    one has a checkpoint there; both are taken up again only with the same parameters, seed and data.

    Returns:
        For each encoder the first seed's best epoch, epochs run, and valid AUC.

    Raises:
        MissingInputError: `thinkrec prep` was not run.
        DataError: train or valid has no row, or one class only.
    """
    cf, seed, tuned = params.cf, params.seed, params.tuned.get(layout.dataset)
    choices = {name: cf.choice(name, tuned) for name in cf.models}
    require(layout, "interactions", "users", "items")
    from thinkrec.data.tables import Interactions
    from thinkrec.progress import Bar

    data = Interactions.load(layout.interactions)
    done: dict[Encoder, list[Path]] = {name: [] for name in choices}
    # All encoders with one seed, then with the next: soon a training's mean time tells what is left.
    with Bar(total=len(choices) * cf.seeds, desc="cf", unit="training") as bar:
        for each in range(seed, seed + cf.seeds):
            for name, choice in choices.items():
                done[name].append(_finished(layout, params, name, choice, each, data, bar))
    with whole(layout.encoders) as beside:
        beside.mkdir()
        for name, (first, *others) in done.items():
            shutil.copytree(first, beside / name, ignore=shutil.ignore_patterns(*_OWN))
            for number, folder in enumerate(others, start=seed + 1):
                kept = beside / name / "seeds" / str(number)
                shutil.copytree(folder, kept, ignore=shutil.ignore_patterns(*_OWN, "vectors*"))
    curves = {name: read_json(first / "curve.json") for name, (first, *_) in done.items()}
    points = ((name, *point) for name, curve in curves.items() for point in curve)
    write_curve(layout.curve("cf"), "epoch", points)
    configs = {name: read_json(first / "config.json") for name, (first, *_) in done.items()}
    discard(layout.work("cf"))
    reported = (*_FACTS, "settled")
    return {
        name: {fact: config[fact] for fact in reported if fact in config} for name, config in configs.items()
    }


def shape_of(cf: Cf, choice: EncoderChoice) -> Shape:
    """The size of an encoder."""
    from thinkrec.cf.examples import Shape

    return Shape(choice.embedding_size, cf.history_length, cf.graph_layers, cf.negatives, cf.calibration)


def schedule_of(cf: Cf, choice: EncoderChoice) -> Schedule:
    """How long and how fast an encoder learns."""
    from thinkrec.cf.trainer import Schedule

    return Schedule(choice.learning_rate, choice.weight_decay, cf.batch_size, cf.epochs, cf.patience)


def _finished(
    layout: Layout,
    params: Params,
    name: Encoder,
    choice: EncoderChoice,
    seed: int,
    data: Interactions,
    bar: Bar,
) -> Path:
    """Folder of a finished encoder: the one that an earlier, killed run left, or a new one."""
    import torch

    from thinkrec.artifacts.resume import work_key
    from thinkrec.cf.checkpoint import Checkpoint
    from thinkrec.cf.examples import Known
    from thinkrec.cf.folder import ENCODERS, save_encoder
    from thinkrec.cf.trainer import fit

    users, items = highest_id(layout.users, "user_id"), highest_id(layout.items, "item_id")
    shape, schedule = shape_of(params.cf, choice), schedule_of(params.cf, choice)
    key = work_key(layout, "cf", params, name, vars(shape), vars(schedule), seed, params.choose_by, keys=())
    folder = layout.work("cf") / f"{name}-{key}"
    if folder.exists() and not is_whole(folder):
        log.warning("%s is damaged: %s, seed %d, is trained again", folder, name, seed)
    elif folder.exists():
        bar.skip()
        log.info("%s, seed %d, was finished by an earlier run that was stopped", name, seed)
        return folder
    model = ENCODERS[name](shape, Known.of(data, users, items), seed)
    checkpoint = Checkpoint(layout.work("cf") / f"{name}-{seed}.safetensors", key)
    progress = fit(model, data, schedule, seed, params.choose_by, checkpoint)
    facts: dict[str, Any] = dict(
        zip(_FACTS, (progress.best_epoch, progress.epoch, progress.best_auc), strict=True)
    )
    with whole(folder) as beside:
        facts |= {"schedule": vars(schedule), "seed": seed, "threads": torch.get_num_threads()}
        facts |= {"choose_by": params.choose_by, **_settled(model, data, params.choose_by)}
        save_encoder(beside, model, data, facts)
        write_json(beside / "curve.json", progress.curve)
        mark_whole(beside)
    bar.update()
    return folder


def _settled(model: Trained, data: Interactions, protocol: Protocol) -> dict[str, Any]:
    """What valid chose after training, and the AUC and UAUC on valid that it leads to; mostly nothing."""
    if not model.tuned_buffers:
        return {}
    from thinkrec.metrics.ranking import ranking_metrics, rounded

    rows = data.rows("valid")
    measured = ranking_metrics(data.user_id[rows], data.label[rows], model.score(data, rows, protocol)).values
    chosen = {name: round(float(getattr(model, name)), 6) for name in model.tuned_buffers}
    return {
        "settled": {**chosen, "valid_auc": rounded(measured["auc"]), "valid_uauc": rounded(measured["uauc"])}
    }


def highest_id(path: Path, column: str) -> int:
    """Highest id in a column of a Parquet file, 0 when it has no rows."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    return pc.max(pq.read_table(path, columns=[column])[column]).as_py() or 0


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the stage `cf`; what later stages will refuse is said before."""
    for line in later_at_odds(params, layout.dataset):
        log.warning("a later stage will stop: %s", line)
    return train_encoders(layout, params)
