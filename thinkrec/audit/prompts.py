"""Prompts, written again where the target's label and all that follows it say something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thinkrec.audit.check import Check, fault, judged
from thinkrec.audit.interactions import first_row
from thinkrec.audit.spoil import one_per_user, spoiled_after
from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Interactions, Items, Split
from thinkrec.layout import Layout
from thinkrec.llm.backbone import check_source, source_of
from thinkrec.llm.batches import Packed, Target
from thinkrec.llm.timeline import Question, TimelineWriter
from thinkrec.prompts.render import PromptWriter
from thinkrec.protocols import Protocol
from thinkrec.variants import DEFAULT


def check_prompts(
    layout: Layout,
    data: Interactions,
    prompts: Mapping[str, Prompt],
    protocols: Sequence[Protocol],
    seed: int,
) -> list[Check]:
    """Check the prompts of each variant, by its name, under each protocol; equal layouts once.

    Raises:
        ModelError: the backbone's tokenizer can't be loaded.
    """
    names: dict[str, list[str]] = {}
    for name, prompt in prompts.items():
        names.setdefault(prompt.model_dump_json(), []).append(name)
    return [
        check
        for alike in names.values()
        for protocol in protocols
        for check in _check(layout, data, prompts[alike[0]], protocol, seed, ", ".join(alike))
    ]


def _check(
    layout: Layout, data: Interactions, prompt: Prompt, protocol: Protocol, seed: int, names: str
) -> list[Check]:
    """Write the prompt of one row of each user and split, drawn by `seed`, with and without its future.

    Of time lines, in which a row's question stands among all others of its user and split, what the question
    sees there must be what it sees alone, laid out anew without its future.

    Raises:
        ModelError: the backbone's tokenizer can't be loaded.
    """
    source = source_of(layout.backbone)
    items = Items.load(layout.items, layout.keywords)
    histories = prompt.model_copy(update={"reception": False})  # those are checked apart
    writer = PromptWriter(items, histories, check_source(*source), True, protocol)
    wrong, count = [], 0
    splits: tuple[Split, ...] = ("train", "valid", "test")
    for split in splits:
        rows = one_per_user(data, data.rows(split), seed)
        other = spoiled_after(data, rows)
        if prompt.layout == "prompt":
            ours: list[Any] = [*writer.encode(data, rows)]
            theirs: list[Any] = [*writer.encode(other, rows)]
        else:
            among = _seen(TimelineWriter(writer, data), data.rows(split))
            alone = _seen(TimelineWriter(writer, other, max_tokens=1), rows)
            ours, theirs = ([seen[row] for row in rows.tolist()] for seen in (among, alone))
        wrong += [row for row, one, other in zip(rows.tolist(), ours, theirs, strict=True) if one != other]
        count += len(rows)
    faults = fault(len(wrong), "prompts change with what follows their row", first_row(data, np.array(wrong)))
    said = f"{count:,} prompts, one a user and split: the same tokens with label and all later rows spoiled"
    said += ", receptions left out" if prompt.reception else ""
    whose = "" if names == DEFAULT else f" of {names}"
    claim = f"of what precedes the row{whose} ({protocol})"
    return [judged("prompts", claim, faults, said, prompts=count)]


def _seen(writer: TimelineWriter, rows: np.ndarray) -> dict[int, list[tuple[int, int]]]:
    """By row, what its question sees: tokens (-1 - item for a vector), and how far before the score."""
    found: dict[int, list[tuple[int, int]]] = {}
    for _, laid in writer.rows([Question(row) for row in rows.tolist()]):
        items = iter(laid.items)
        codes = [-1 - next(items) if token == writer.item_token else token for token in laid.ids]
        found |= {target.row: _before(laid, codes, target) for target in laid.targets}
    return found


def _before(laid: Packed, codes: list[int], target: Target) -> list[tuple[int, int]]:
    at = target.at
    return [
        (codes[k], laid.position[at] - laid.position[k])
        for k in range(at + 1)
        if laid.block[k] == laid.block[at] or (laid.shared[k] and laid.block[k] >= laid.reach[at])
    ]
