"""Receptions that prompts show: they must not change with labels that the prompt may not know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from thinkrec.audit.check import Check, fault, judged
from thinkrec.audit.interactions import first_row
from thinkrec.audit.spoil import held_out, one_per_user, spoiled
from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Interactions, Items, Split
from thinkrec.layout import Layout
from thinkrec.llm.backbone import check_source, source_of
from thinkrec.prompts.reception import Receptions
from thinkrec.prompts.render import PromptWriter
from thinkrec.protocols import Protocol

ROWS = 50
"""Training rows that are tried (our choice)."""


def check_receptions(
    layout: Layout, data: Interactions, prompts: Mapping[str, Prompt], protocol: Protocol, seed: int
) -> list[Check]:
    """Check that what prompts show of receptions depends on no label that they may not know.

    These are the labels of valid and test, whose rows are spoiled, and those of a user's own training row:
    many copies of it are put into the data, all liked and then all not, so that even an item with many rows
    would be received otherwise if they counted. The prompts of that row and of the user's next
    training row, whose history holds it, must stay the same.

    Nothing is checked where no prompt shows any.

    Raises:
        ModelError: the backbone's tokenizer can't be loaded.
    """
    shown = {prompt.model_dump_json(): prompt for prompt in prompts.values() if prompt.reception}
    return [_check(layout, data, prompt, protocol, seed) for prompt in shown.values()]


def _check(layout: Layout, data: Interactions, prompt: Prompt, protocol: Protocol, seed: int) -> Check:
    tokenizer = check_source(*source_of(layout.backbone))
    items = Items.load(layout.items, layout.keywords)

    def texts(of: Interactions, rows: np.ndarray) -> list[str]:
        received = Receptions(of)
        return PromptWriter(items, prompt, tokenizer, False, protocol, received).texts(data, rows)

    splits: tuple[Split, ...] = ("train", "valid", "test")
    asked = np.concatenate([one_per_user(data, data.rows(split), seed) for split in splits])
    pairs = zip(asked.tolist(), texts(data, asked), texts(spoiled(data, held_out(data)), asked), strict=True)
    wrong = [row for row, one, other in pairs if one != other]
    said = "receptions change with rows of valid and test"
    faults = fault(len(wrong), said, first_row(data, np.array(wrong)))
    train = one_per_user(data, data.rows("train"), seed)
    drawn, own = np.random.default_rng(seed).permutation(train)[:ROWS], []
    for row in drawn.tolist():
        after = np.flatnonzero((data.user_id == data.user_id[row]) & (data.split == data.split[row]))
        rows = np.array([row, *after[after > row][:1]])
        liked, not_ = (texts(_with_copies(data, row, label), rows) for label in (1, 0))
        own += [row] if liked != not_ else []
    faults += fault(len(own), "receptions change with their user's label", first_row(data, np.array(own)))
    said = f"{len(asked):,} prompts: the same without valid and test; {len(drawn):,} training rows: the same "
    said += "with their own label flipped"
    return judged("receptions", "of likes in training rows of others", faults, said, rows=len(drawn))


def _with_copies(data: Interactions, row: int, label: int) -> Interactions:
    """Give a row a label, and add copies of it at the end, as many as any item has rows."""
    at = np.r_[np.arange(len(data)), np.full(int(np.bincount(data.item_id).max()), row)]
    labels = np.where(at == row, label, data.label[at])
    return replace(
        data, user_id=data.user_id[at], item_id=data.item_id[at], label=labels, timestamp=data.timestamp[at],
        position=data.position[at], split=data.split[at], not_cold=data.not_cold[at],
    )  # fmt: skip
