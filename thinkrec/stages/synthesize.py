"""Stage `synthesize`: rationales of a teacher for a sample of train rows, and references for test rows.

The rationales of test rows (split = "test") are the references of METEOR and BLEURT and nothing else: no
stage trains on them. A test row's label is used for its own reference only.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from thinkrec.config.sections import Params, Prompt, Synthesize
from thinkrec.data.tables import SPLITS, Interactions, Items
from thinkrec.errors import DataError
from thinkrec.files import whole
from thinkrec.layout import Layout, require
from thinkrec.protocols import Protocol
from thinkrec.teachers.cache import CACHE
from thinkrec.teachers.cases import draw_rows, make_cases
from thinkrec.teachers.parallel import ordered_map
from thinkrec.teachers.protocol import ReasoningTeacher
from thinkrec.teachers.reflect import MALFORMED, Rationale, reason_with
from thinkrec.teachers.trial import useless

log = logging.getLogger(__name__)
MOST_REJECTED, MOST_FORMLESS = 0.5, 0.1
"""Shares of rows rejected, and of those rejected for their form, above which the stage warns (our choice)."""
SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        ("position", pa.int64()),
        ("label", pa.int64()),
        ("rationale", pa.string()),
        ("attempts", pa.int64()),
        ("hinted", pa.bool_()),
        ("accepted", pa.bool_()),
        ("teacher", pa.string()),
        ("request_hash", pa.string()),
        ("split", pa.string()),
    ]
)


def _facts(rationales: list[Rationale]) -> dict[str, Any]:
    accepted = [rationale for rationale in rationales if rationale.rejected is None]
    words = [len(rationale.text.split()) for rationale in accepted]
    asked = len(rationales)
    return {
        "asked": asked,
        "accepted": len(accepted),
        "hinted": sum(rationale.hinted for rationale in rationales),
        "unhinted_agreement": round(sum(r.agreed for r in rationales) / asked, 4) if asked else None,
        "rejected": dict(sorted(Counter(r.rejected for r in rationales if r.rejected).items())),
        "mean_words": round(sum(words) / len(words), 2) if words else None,
    }


def _warnings(split: str, facts: dict[str, Any]) -> list[str]:
    """What is wrong with the rationales of a split, if too many are rejected."""
    asked, rejected = facts["asked"], facts["rejected"]
    every, formless = sum(rejected.values()), sum(rejected.get(reason, 0) for reason in MALFORMED)
    if formless <= MOST_FORMLESS * asked and every <= MOST_REJECTED * asked:
        return []
    reasons = ", ".join(f"{reason}: {count}" for reason, count in rejected.items())
    return [
        f"{every} of {asked} {split} rows have no rationale that can be used ({reasons}): try another "
        "synthesize.endpoint.model or more synthesize.attempts"
    ]


def _check(rationales: list[Rationale]) -> None:
    if all(rationale.rejected in MALFORMED for rationale in rationales):
        answers = [rationale.answer for rationale in rationales]
        raise useless(answers, "says Yes or No and why", "synthesize")


def _table(data: Interactions, rows: np.ndarray, rationales: list[Rationale], teacher: str) -> pa.Table:
    columns = {
        "user_id": data.user_id[rows],
        "position": data.position[rows],
        "label": data.label[rows],
        "rationale": [rationale.text for rationale in rationales],
        "attempts": [rationale.attempts for rationale in rationales],
        "hinted": [rationale.hinted for rationale in rationales],
        "accepted": [rationale.rejected is None for rationale in rationales],
        "teacher": [teacher] * len(rows),
        "request_hash": [rationale.answer.request_hash for rationale in rationales],
        "split": [SPLITS[code] for code in data.split[rows]],
    }
    return pa.table(columns, schema=SCHEMA)


def choose_teacher(layout: Layout, params: Synthesize, seed: int) -> ReasoningTeacher:
    """Make the teacher that params.yaml names; an endpoint's answers stay in the work folder."""
    if params.teacher == "template":
        from thinkrec.teachers.template import TemplateTeacher

        return TemplateTeacher(seed)
    from thinkrec.teachers.chat import ChatClient
    from thinkrec.teachers.endpoint import EndpointTeacher

    return EndpointTeacher(ChatClient(params.endpoint, "synthesize", layout.work("synthesize") / CACHE, seed))


def synthesize(
    layout: Layout, params: Synthesize, prompt: Prompt, protocol: Protocol, seed: int
) -> dict[str, Any]:
    """Write rationales.parquet: up to `rows` train rows, then up to `eval_rows` test rows.

    Rows that must not be used (`accepted` is false) are kept, so that they can be looked at. An endpoint's
    answers stay in `layout.work("synthesize")` after a good end too: they cost time and money, and a run
    with more rows uses them again.

    Returns:
        Facts for the run record: the teacher, and for train and test the counts of asked, accepted, hinted
        and rejected rows, the share of rows where the unhinted teacher was right, mean words; warnings.

    Raises:
        MissingInputError: `prep` or `summarize` was not run.
        DataError: no train row has a history.
        TeacherError: the endpoint failed for good, or none of its first answers is a verdict with a reason;
            its answers so far are kept for the next run.
    """
    require(layout, "interactions", "items", "keywords")
    data = Interactions.load(layout.interactions)
    items = Items.load(layout.items, layout.keywords)
    parts = {
        "train": draw_rows(data, "train", params.rows, protocol, seed),
        "test": draw_rows(data, "test", params.eval_rows, protocol, seed),
    }
    if not len(parts["train"]):
        raise DataError(
            f"{layout.interactions}: no train row has an earlier interaction of its user, so there is "
            "nothing to reason from; check the raw files and the split, then run prep again"
        )
    teacher = choose_teacher(layout, params, seed)
    rows = np.concatenate(list(parts.values()))
    questions = list(
        zip(make_cases(data, items, rows, prompt, protocol), data.label[rows].tolist(), strict=True)
    )
    rationales = ordered_map(
        lambda question: reason_with(teacher, question[0], bool(question[1]), params.attempts, seed),
        questions, teacher.concurrency, "synthesize: rationales", _check,
    )  # fmt: skip
    with whole(layout.rationales) as beside:
        pq.write_table(_table(data, rows, rationales, teacher.name), beside)
    train = len(parts["train"])
    facts = {"train": _facts(rationales[:train]), "test": _facts(rationales[train:])}
    warnings = [warning for split, about in facts.items() for warning in _warnings(split, about)]
    for warning in warnings:
        log.warning(warning)
    return {"teacher": teacher.name, **facts, "warnings": warnings}


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the stage `synthesize`."""
    return synthesize(layout, params.synthesize, params.prompt, params.evaluate.headline, params.seed)
