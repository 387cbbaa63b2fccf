"""Rationales, requested again with the target's label and all later rows spoiled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from typing_extensions import TypedDict

from thinkrec.audit.check import Check, fault, judged, skipped
from thinkrec.audit.spoil import rounds, spoiled_after
from thinkrec.audit.teachers import CachedClient, UnansweredError
from thinkrec.config.sections import Prompt, Synthesize
from thinkrec.data.tables import SPLITS, Interactions, Items, Split
from thinkrec.layout import Layout
from thinkrec.protocols import Protocol
from thinkrec.runs import read_facts
from thinkrec.teachers.cache import CACHE
from thinkrec.teachers.cases import draw_rows, make_cases
from thinkrec.teachers.endpoint import EndpointTeacher
from thinkrec.teachers.protocol import Case, ReasoningTeacher
from thinkrec.teachers.reflect import reason_with
from thinkrec.teachers.template import TemplateTeacher

_NAME = "rationales"
_AGAIN = "run `thinkrec synthesize` and the stages after it again"
Rationale = dict[str, Any]


class _Facts(TypedDict):
    """Facts about rationales in the run record of the stage `global`."""

    reasoning_rows: int


@dataclass(frozen=True)
class Options:
    """Parameters of the stage `synthesize`.

    Args:
        synthesize: its section.
        prompt: the prompt section.
        protocol: of the histories of test rows.
        seed: seed of phrases and requests.
    """

    synthesize: Synthesize
    prompt: Prompt
    protocol: Protocol
    seed: int


def check_rationales(layout: Layout, data: Interactions, options: Options) -> list[Check]:
    """Check rows, labels and requests of all rationales, and which of them were trained on."""
    rationales = pq.read_table(layout.rationales).to_pylist()
    rows = data.row_of(*([line[key] for line in rationales] for key in ("user_id", "position")))
    placed = _placed(data, rationales, rows)
    if placed.verdict == "FAILED":
        why = "some rationales are of no row, or of another than they say"
        return [placed, _trained(layout, rationales), skipped(_NAME, "asked of what precedes the row", why)]
    requested = _asked(layout, data, rationales, rows, options)
    return [placed, _trained(layout, rationales), requested, _drawn(data, rows, options)]


def _drawn(data: Interactions, rows: np.ndarray, options: Options) -> Check:
    """Check that the rows are exactly those drawn by the seed."""
    counts: tuple[tuple[Split, int], ...] = (
        ("train", options.synthesize.rows), ("test", options.synthesize.eval_rows),
    )  # fmt: skip
    expected = [draw_rows(data, split, count, options.protocol, options.seed) for split, count in counts]
    different = np.setxor1d(rows, np.concatenate(expected))
    faults = fault(len(different), "rows have a rationale and were not drawn, or the other way round")
    advice = f"{_AGAIN}, if params.yaml has changed since"
    summary = f"{len(rows):,} rows, drawn again with seed {options.seed}"
    return judged(_NAME, "of rows drawn by chance", faults and [*faults, advice], summary)


def _placed(data: Interactions, rationales: list[Rationale], rows: np.ndarray) -> Check:
    """Check that every rationale has its row's split (train, or test as reference) and label."""
    faults = fault(int((rows < 0).sum()), "rationales are of no row")
    wrong = {"split": 0, "label": 0, "verdict": 0, "valid": 0}
    for line, row in zip(rationales, rows.tolist(), strict=True):
        if row < 0:
            continue
        wrong["split"] += line["split"] != SPLITS[data.split[row]]
        wrong["label"] += line["label"] != data.label[row]
        wrong["valid"] += line["split"] not in ("train", "test")
        first = line["rationale"].partition(".")[0]
        wrong["verdict"] += line["accepted"] and first != ("Yes" if data.label[row] else "No")
    for key, what in (
        ("split", "rationales call a row of valid or test train's, or the other way round"),
        ("valid", "rationales are of valid rows, which have no use for one"),
        ("label", "rationales hold another label than their row"),
        ("verdict", "accepted rationales argue against their row's label"),
    ):
        faults += fault(wrong[key], what)
    train = sum(line["split"] == "train" for line in rationales)
    summary = f"{train:,} of train rows; {len(rationales) - train:,} of test rows, as references only"
    claim = "of train rows, or references of test rows; labels agree"
    return judged(
        _NAME, claim, faults and [*faults, _AGAIN], summary, train=train, test=len(rationales) - train
    )


def _trained(layout: Layout, rationales: list[Rationale]) -> Check:
    """Check the number of rationales in the run record of the stage `global`."""
    claim = "only those of train rows were trained on"
    usable = sum(line["accepted"] and line["split"] == "train" for line in rationales)
    facts = read_facts(layout, "global", _Facts)
    if facts is None:
        why = (
            f"{layout.record('global')} is not there; `thinkrec global` trains on split train alone: "
            f"{usable:,} accepted ones"
        )
        return skipped(_NAME, claim, why)
    trained = facts["reasoning_rows"]
    faults = [] if trained == usable else [
        f"`thinkrec global` trained on {trained} rationales, {usable} of train rows are accepted: "
        "run `thinkrec global` again"
    ]  # fmt: skip
    return judged(_NAME, claim, faults, f"{usable:,}, as many as `thinkrec global` recorded", trained=trained)


def _asked(
    layout: Layout, data: Interactions, rationales: list[Rationale], rows: np.ndarray, options: Options
) -> Check:
    """Request all again with each row's future spoiled: hash, answer and attempts must not change."""
    claim = "asked of what precedes the row"
    wrong: list[str] = []
    unproven = 0
    with TemporaryDirectory() as folder:
        teacher, client = _teacher(layout, rationales, options, Path(folder))
        items = Items.load(layout.items, layout.keywords)
        for indices in rounds(data.user_id[rows]):
            own = rows[indices]
            cases = make_cases(spoiled_after(data, own), items, own, options.prompt, options.protocol)
            for index, case in zip(indices.tolist(), cases, strict=True):
                same = _same(teacher, client, case, rationales[index], options)
                unproven += same is None
                wrong += [case.key] if same is False else []
    faults = fault(
        len(wrong),
        "rationales do not come out of what precedes their row",
        f"(user:position) {next(iter(wrong), '')}",
    )
    advice = "run `thinkrec synthesize` again, if params.yaml or keywords have changed since"
    figures = {"proven": len(rationales) - len(wrong) - unproven, "unproven": unproven}
    if unproven == len(rationales) and rationales:
        return skipped(
            _NAME,
            claim,
            "the endpoint's answers were not kept, and none was accepted at the first attempt",
            **figures,
        )
    summary = (
        f"{figures['proven']:,} asked again with label and later rows spoiled: same request, same answer"
    )
    if unproven:
        summary += f"; {unproven:,} can't be: they took several answers, and the endpoint's were not kept"
    return judged(_NAME, claim, faults and [*faults, advice], summary, **figures)


def _teacher(
    layout: Layout, rationales: list[Rationale], options: Options, folder: Path
) -> tuple[ReasoningTeacher, CachedClient | None]:
    """Make the teacher that the rationales name, and its client if it is behind an endpoint."""
    if {line["teacher"] for line in rationales} <= {TemplateTeacher.name}:
        return TemplateTeacher(options.seed), None
    kept = layout.work("synthesize") / CACHE
    # Without cached answers the requests' hashes can still be compared.
    client = CachedClient(
        options.synthesize.endpoint, kept if kept.exists() else folder / CACHE, options.seed
    )
    return EndpointTeacher(client), client


def _same(
    teacher: ReasoningTeacher, client: CachedClient | None, case: Case, line: Rationale, options: Options
) -> bool | None:
    """Test whether requesting again gives what is on disk; None if unknown."""
    try:
        again = reason_with(teacher, case, bool(line["label"]), options.synthesize.attempts, options.seed)
    except UnansweredError:
        first = client is not None and line["attempts"] == 1
        return line["request_hash"] in client.requests if client and first else None
    actual = (again.answer.request_hash, again.text, again.attempts, again.hinted, again.rejected is None)
    return actual == tuple(
        line[key] for key in ("request_hash", "rationale", "attempts", "hinted", "accepted")
    )
