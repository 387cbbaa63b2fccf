"""What evaluate writes beside scores: measured again from the predictions on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from thinkrec.audit.check import Check, fault, judged, skipped
from thinkrec.audit.same import differing, first_few
from thinkrec.audit.shuffled import stored_controls
from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions, Items, sample_rows
from thinkrec.errors import DataError
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.llm.examples import Rationales
from thinkrec.protocols import Protocol
from thinkrec.reports.kinds import REASONS, kind
from thinkrec.reports.predictions import load_predictions, load_seeds, scored_protocols, scored_systems
from thinkrec.reports.reasons import comparable, reason_metrics, spoken_of
from thinkrec.reports.results import Scores, write_results
from thinkrec.systems.registry import speaker

_AGAIN = "run `thinkrec evaluate` again"
_CLAIM = "measured on the predictions"


@dataclass(frozen=True)
class _Elsewhere(Layout):
    """The same artifacts, but for reports, which go to another folder."""

    folder: Path = Path()

    @property
    def reports(self) -> Path:
        return self.folder


def check_reports(layout: Layout, data: Interactions, params: Params) -> list[Check]:
    """Measure all systems again: floors, ceilings, users' results, figures and plots come out the same.

    The text metrics and the shuffled control are taken over: `check_reasons` and `check_stored` measure them.
    """
    rows = np.flatnonzero(data.split > 0)
    there = scored_protocols(layout)
    named = [each for each in params.evaluate.protocols if each in there]
    scores: dict[Protocol, Scores] = {}
    order: list[str] = []
    for protocol in [*named, *(each for each in there if each not in named)]:
        systems = [name for name in scored_systems(layout, protocol) if kind(name) == "system"]
        order = [name for name in params.named(params.evaluate.systems) if name in systems]
        order += [name for name in systems if name not in order]
        scores[protocol] = Scores({})
        for name in order:
            first = load_predictions(layout.prediction(protocol, name))
            others = load_seeds(layout, protocol, name)
            if any(len(each.score) != len(rows) for each in (first, *others.values())):
                fault = f"predictions of {name} ({protocol}) are not of all valid and test rows; {_AGAIN}"
                return [judged("predictions", _CLAIM, [fault], "")]
            scores[protocol].systems[name] = (rows, first.score)
            if others:
                scores[protocol].seeds[name] = {n: (rows, each.score) for n, each in others.items()}
    if not order:
        why = f"`thinkrec evaluate --dataset {layout.dataset}` makes them"
        return [skipped(name, _CLAIM, why) for name in ("predictions", "metrics")]
    said = read_json(layout.metrics).get(REASONS, {}) if layout.metrics.exists() else {}
    controls = {
        protocol: {name: one for name, one in each.items() if name in scored_systems(layout, protocol)}
        for protocol, each in stored_controls(layout).items()
    }
    with TemporaryDirectory() as folder:
        again = _Elsewhere(layout.dataset, layout.root, folder=Path(folder))
        reference = speaker(order)
        draws = params.evaluate.bootstrap_draws
        write_results(again, data, scores, draws, params.seed, reference, said, controls)
        return [_files(layout, again), *_figures(layout, again)]


def _files(layout: Layout, again: Layout) -> Check:
    """Tables of predictions and of users' results, file by file."""
    ours, theirs = (
        {str(path.relative_to(each.predictions)): path for path in each.predictions.rglob("*.parquet")}
        for each in (layout, again)
    )
    wrong = [name for name in sorted({*ours, *theirs}) if name not in ours or name not in theirs]
    wrong += [
        name for name in sorted({*ours} & {*theirs}) if not _equal(ours[name], theirs[name])
    ]  # fmt: skip
    faults = [f"{first_few(wrong)} differ from what scores, interactions and truth give"] if wrong else []
    claim = "rows, floors, ceilings and users' results follow from scores"
    return judged("predictions", claim, faults and [*faults, _AGAIN], f"{len(ours):,} files, all equal")


def _equal(ours: Path, theirs: Path) -> bool:
    one, other = pq.read_table(ours), pq.read_table(theirs)
    if one.schema != other.schema or len(one) != len(other):
        return False
    return all(_close(one[key].to_pylist(), other[key].to_pylist()) for key in one.column_names)


def _close(one: list[Any], other: list[Any]) -> bool:
    return one == other or not differing(one, other)


def _figures(layout: Layout, again: Layout) -> list[Check]:
    checks = []
    for name in ("metrics", "slices", "differences"):
        ours, theirs = getattr(layout, name), getattr(again, name)
        if not ours.exists():
            checks.append(skipped("metrics", f"{name}.json: {_CLAIM}", f"{ours} is not there"))
            continue
        wrong = differing(read_json(ours), read_json(theirs))
        faults = [f"{name}.json disagrees about {first_few(wrong)}"] if wrong else []
        summary = "measured again: the same figures"
        checks.append(judged("metrics", f"{name}.json: {_CLAIM}", faults and [*faults, _AGAIN], summary))
    wrong = [
        f"{name}.csv"
        for name in ("roc", "calibration")
        if layout.plot(name).exists() and layout.plot(name).read_text() != again.plot(name).read_text()
    ]
    faults = [f"{first_few(wrong)} show another curve", _AGAIN] if wrong else []
    return [*checks, judged("metrics", f"plots: {_CLAIM}", faults, "drawn again: the same points")]


def check_reasons(layout: Layout, data: Interactions, params: Params) -> Check:
    """Check rows, scores and references of generated reasons, and the figures that were measured on them.

    The reasons themselves are not generated again.
    """
    claim = "reasons: of the drawn test rows, with their references and scores"
    with layout.reasons.open("rb") as file:
        lines = [json.loads(line) for line in file]
    if not lines:
        return skipped("reasons", claim, "no reason was generated")
    try:
        references = Rationales.load(layout, data, "test")
    except DataError as error:
        return judged("reasons", claim, [str(error)], "")
    chosen = sample_rows(np.arange(len(references.rows)), params.evaluate.reasons, params.seed)
    want, texts = references.rows[chosen], [references.texts[k] for k in chosen]
    row = data.row_of(*([line[key] for line in lines] for key in ("user_id", "position")))
    spoken = spoken_of(lines)
    drawn = np.tile(want, len(spoken))
    faults = [] if np.array_equal(row, drawn) else ["they are of other rows than were drawn"]
    if not faults:
        titles = Items.load(layout.items).title
        own = [
            (titles[data.item_id[k]], int(data.item_id[k]), int(data.label[k]), text)
            for k, text in zip(drawn.tolist(), texts * len(spoken), strict=True)
        ]
        said = [tuple(line[key] for key in ("title", "item_id", "label", "rationale")) for line in lines]
        wrong = sum(one != other for one, other in zip(own, said, strict=True))
        faults += fault(wrong, "name another item, label or reference than their row has")
        for name, each in spoken.items():
            protocol = params.evaluate.headline
            faults += _scores(layout, data, name, protocol, want, list(each.scores or ()))
        figures = reason_metrics(layout, data, params, want, texts, spoken, params.seed)
        wrong_ = differing(*comparable(read_json(layout.metrics).get(REASONS, {}), figures))
        faults += [f"metrics.json disagrees about {first_few(wrong_)}"] if wrong_ else []
    said_ = f"{len(lines):,} reasons; their texts are not generated again"
    return judged("reasons", claim, faults and [*faults, _AGAIN], said_)


def _scores(
    layout: Layout,
    data: Interactions,
    system: str,
    protocol: Protocol,
    rows: np.ndarray,
    scores: list[float],
) -> list[str]:
    """Scores beside reasons are the system's predictions, but for other batches (guarantee 3)."""
    from thinkrec.audit.scores import TOLERANCE

    disk = load_predictions(layout.prediction(protocol, system))
    place = np.full(len(data), -1)
    place[data.row_of(disk.user_id, disk.position)] = np.arange(len(disk.score))
    off = np.abs(disk.score[place[rows]] - np.array(scores))
    return fault(
        int((off > TOLERANCE * (1 + np.abs(scores))).sum()), "have another score than their prediction"
    )
