"""The trainings of a part of a variant with seed, seed + 1, ...; the first is what later stages use."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from thinkrec.artifacts.marks import WHOLE, is_whole, mark_whole
from thinkrec.config.sections import Params
from thinkrec.config.sections import Training as Settings
from thinkrec.files import FOLLOWS, read_json, remove, whole, write_json
from thinkrec.layout import Layout

log = logging.getLogger(__name__)
Training = tuple[dict[str, Any], list[tuple[str, list[dict[str, float]]]]]
"""Facts of a training, and the trainer's log of each model by its name."""
Train = Callable[[Layout, Params, Path, Path], Training]
"""Trains with one seed: (its layout, its parameters, new folder for weights, folder of checkpoints)."""
_TRAINING = "training.json"


def train_seeds(stage: str, layout: Layout, params: Params, place: Path, train: Train) -> dict[str, Any]:
    """Train a part of a variant `params.seeds` times, and put all in place together.

    The first seed's lies in `place`, those of further ones in its folders seeds/<seed>. A finished training
    waits in the work folder until all are done, so that a stopped run does not train it again.

    Args:
        stage: that trains the part.
        layout: of the variant.
        params: as the variant is trained with.
        place: of the first seed's weights.
        train: trains with one seed.

    Returns:
        Facts of the first seed; under `seeds`, those of further ones by seed.

    Raises:
        ModelError: see `train`.
    """
    from thinkrec.llm.checkpoints import forget, write_curves

    _tell_of_history(stage, params)
    numbers = range(params.seed, params.seed + params.seeds)
    done = {number: _finished(stage, layout, params, number, train) for number in numbers}
    if os.environ.get(FOLLOWS):  # the first process of the training has the weights, and does the rest
        return {}
    said = {number: read_json(folder / _TRAINING) for number, folder in done.items()}
    own = shutil.ignore_patterns(_TRAINING, WHOLE)
    with whole(place) as beside:
        for number, folder in done.items():
            further = number != params.seed
            shutil.copytree(folder, beside / "seeds" / str(number) if further else beside, ignore=own)
    curves = [
        (name if number == params.seed else f"{name}, seed {number}", history)
        for number, each in said.items()
        for name, history in each["curves"]
    ]
    write_curves(layout.curve(stage), curves)
    forget(layout.work(stage))
    facts: dict[str, Any] = said[params.seed]["facts"]
    further_facts = {str(number): each["facts"] for number, each in said.items() if number != params.seed}
    return facts | ({"seeds": further_facts} if further_facts else {})


def _tell_of_history(stage: str, params: Params) -> None:
    """Warn where `history` has no effect; figures: one pass on the embedded data set, 2026-11-30."""
    training: Settings = getattr(params, "global_" if stage == "global" else stage)
    found = params.prompt.against_history
    if not training.history or not found or os.environ.get(FOLLOWS):
        return
    cost = "2 to 3 times" if params.prompt.layout == "timeline" else "about 19 times"
    log.warning(
        "%s.history is true, but has no effect with %s: a pass reads %s the tokens that it would read "
        "(measured on the embedded data set)",
        stage, found, cost,
    )  # fmt: skip


def _finished(stage: str, layout: Layout, params: Params, seed: int, train: Train) -> Path:
    """Folder of a finished training: the one that an earlier, stopped run left, or a new one."""
    from accelerate.utils.memory import clear_device_cache

    from thinkrec.artifacts.resume import work_key
    from thinkrec.llm.checkpoints import SERIES

    place = layout if seed == params.seed else layout.of_seed(seed)
    own = params.model_copy(update={"seed": seed, "seeds": 1})
    work = layout.work(stage) / work_key(place, stage, own)
    folder = work.with_name(f"{work.name}-finished")
    if is_whole(folder):
        log.info("%s, seed %d, was finished by an earlier run that was stopped", layout.own(stage), seed)
        return folder
    if folder.exists():
        log.warning("%s is damaged: seed %d is trained again", folder, seed)
    with whole(folder) as beside:
        facts, curves = train(place, own, beside, work)
        kept = [
            (name, [{key: line[key] for key in ("step", *SERIES) if key in line} for line in history])
            for name, history in curves
        ]
        write_json(beside / _TRAINING, {"facts": facts, "curves": kept})
        mark_whole(beside)
    clear_device_cache(garbage_collection=True)  # else the next seed's backbone lies beside this one's
    if not os.environ.get(FOLLOWS):
        remove(work)
    return folder
