"""Scoring of many rows: shared histories are encoded once, in batches of similar length, for any users."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from thinkrec.errors import DataError, ModelError
from thinkrec.llm.backbone import Backbone
from thinkrec.llm.batches import Batch, Example, Packed, Target, by_length, collate, count_targets, targets_of
from thinkrec.llm.loss import Score, scores
from thinkrec.llm.memory import fitting
from thinkrec.llm.packing import shared_prefixes
from thinkrec.progress import Bar
from thinkrec.wanted import check_wanted

log = logging.getLogger(__name__)
Numbered = tuple[list[int], Example | Packed]


@dataclass(frozen=True)
class Asked:
    """Batch rows that request the scores of n rows of the interactions.

    Args:
        rows: each with the numbers, 0 to n - 1, of its targets.
        user, label: of the n rows, [n].
    """

    rows: list[Numbered]
    user: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        """Return the number of scores."""
        return len(self.user)

    @classmethod
    def of_prompts(cls, examples: Sequence[Example], item_token: int) -> Asked:
        """Make requests of prompts; prompts with a common prefix share a packed row."""
        laid = shared_prefixes(examples, item_token)
        rows: list[Numbered] = [(each, examples[each[0]] if len(each) == 1 else row) for each, row in laid]
        user, label = (
            np.array([getattr(example, name) for example in examples]) for name in ("user", "label")
        )
        return cls(rows, user, label)

    @classmethod
    def of_rows(cls, rows: Sequence[Example | Packed]) -> Asked:
        """Make requests of existing rows, their targets numbered consecutively."""
        counts = np.cumsum([0, *(count_targets(row) for row in rows)])
        targets = [target for row in rows for target in targets_of(row)]
        users = [row.user[0] if isinstance(row, Packed) else row.user for row in rows]
        numbered = [(list(range(counts[k], counts[k + 1])), row) for k, row in enumerate(rows)]
        return cls(
            numbered, np.repeat(users, np.diff(counts)), np.array([target.label for target in targets])
        )

    def first(self, count: int = 1) -> Asked:
        """Return the first rows, as many as are needed for `count` scores."""
        found = Asked.of_rows([])
        for place in range(1, len(self.rows) + 1):
            found = Asked.of_rows([row for _, row in self.rows[:place]])
            if len(found) >= count:
                break
        return found

    def batches(self, size: int) -> Iterator[list[Numbered]]:
        """Yield batches of about `size` scores, with rows of one kind and similar length, longest first."""
        packed = [numbered for numbered in self.rows if isinstance(numbered[1], Packed)]
        plain = [numbered for numbered in self.rows if isinstance(numbered[1], Example)]
        for kind in (packed, plain):
            batch: list[Numbered] = []
            for index in by_length([row for _, row in kind], 1):
                numbered = kind[index[0]]
                if batch and sum(len(numbers) for numbers, _ in batch) + len(numbered[0]) > size:
                    yield batch
                    batch = []
                batch.append(numbered)
            if batch:
                yield batch


def score_examples(
    hidden: Callable[[Batch], Tensor],
    backbone: Backbone,
    examples: Sequence[Example],
    size: int,
    kind: Score,
    show: str | None = None,
) -> np.ndarray:
    """Score prompts; see `score`."""
    asked = Asked.of_prompts(examples, backbone.placeholders[1])
    return score(hidden, backbone, asked, size, kind, show)


@torch.no_grad()
def score(
    hidden: Callable[[Batch], Tensor],
    backbone: Backbone,
    asked: Asked,
    size: int,
    kind: Score,
    show: str | None = None,
) -> np.ndarray:
    """Return the requested scores, [n] float32, in order.

    A batch that runs out of memory is halved, a single row by its targets, which is logged.

    Args:
        hidden: maps a batch to its last hidden states, [B, T, H]: a Student, or a model in training.
        backbone: for head, answers and padding.
        asked: the requests; answers of unpacked prompts are ignored.
        size: scores per forward pass.
        kind: which logits make the score.
        show: title of a progress bar, or None for none.

    Raises:
        ModelError: a score is not finite, or a single one runs out of memory.
        UnwantedError: between batches, where nobody waits any more.
    """
    found = np.empty(len(asked), dtype=np.float32)
    lines = np.full(len(found), -1)
    device = backbone.head.device

    waiting: list[list[Numbered]] = []

    def forward(rows: list[Numbered]) -> None:
        check_wanted()
        batch = collate([row for _, row in rows], backbone.pad)
        values = scores(hidden(batch.to(device)), backbone.head, batch.to(device), backbone.answers, kind)
        numbers = [number for numbers, _ in rows for number in numbers]
        found[numbers], lines[numbers] = values.cpu().numpy(), batch.row.numpy()

    def smaller(rows: list[Numbered]) -> list[Numbered]:
        if sum(len(numbers) for numbers, _ in rows) == 1:
            raise too_large([row for _, row in rows])
        log.warning("out of memory with %d rows of a batch: half as many", len(rows))
        first, second = _halves(rows, backbone.placeholders[1])
        waiting.append(second)
        return first

    with Bar(total=len(found), desc=show, unit="row", disable=show is None) as bar:
        for rows in asked.batches(size):
            waiting.append(rows)
            while waiting:
                fitting(forward, waiting.pop(), smaller)
            bar.update(sum(len(numbers) for numbers, _ in rows))
    if not np.isfinite(found).all():
        row = lines[np.flatnonzero(~np.isfinite(found))[0]]
        raise ModelError(
            f"the score of row {row} is not finite: the adapters or the backbone hold NaN or overflow: "
            "train them again with a lower learning rate, or set backbone.dtype in params.yaml to float32"
        )
    return found


def _halves(rows: list[Numbered], item_token: int) -> tuple[list[Numbered], list[Numbered]]:
    """Split a batch of several rows, or one row with several targets, into two parts."""
    if len(rows) > 1:
        return rows[: len(rows) // 2], rows[len(rows) // 2 :]
    ((numbers, row),) = rows
    assert isinstance(row, Packed)  # an example has one target
    middle = len(numbers) // 2

    def half(part: slice) -> list[Numbered]:
        return [(numbers[part], only(row, row.targets[part], item_token))]

    return half(slice(middle)), half(slice(middle, None))


def only(row: Packed, targets: Sequence[Target], item_token: int) -> Packed:
    """Return a row with some of its targets and only the tokens that these depend on.

    Args:
        row: its answers are dropped.
        targets: some of its targets.
        item_token: placeholder of an item's vector.
    """
    block, reach, shared = (np.array(getattr(row, name)) for name in ("block", "reach", "shared"))
    sees = np.tril((block == block[:, None]) | shared & (block >= reach[:, None]))  # [T, T], see Places
    kept = np.zeros(len(block), dtype=bool)
    kept[[target.at for target in targets]] = True
    while (more := sees[kept].any(0)).sum() > kept.sum():
        kept = more
    place = kept.cumsum() - 1
    columns = {
        name: [value for value, stays in zip(getattr(row, name), kept, strict=True) if stays]
        for name in ("ids", "position", "block", "reach", "shared", "user")
    }
    standing = kept[np.array(row.ids) == item_token]  # row.items is empty for prompts without vectors
    items = [item for item, stays in zip(row.items, standing, strict=False) if stays]
    moved = [replace(target, at=int(place[target.at]), answer=[]) for target in targets]
    return Packed(**columns, items=items, targets=moved)


def too_large(rows: Sequence[Example | Packed]) -> ModelError:
    """Return the error of a single row that runs out of memory."""
    longest = max(len(row.ids) for row in rows)
    return ModelError(
        f"out of memory with a single row of {longest} tokens, which a smaller evaluate.batch_size can't "
        "help: lower prompt.history_length, prompt.keywords or prompt.max_tokens in params.yaml, or choose "
        "a smaller backbone (backbone.model)"
    )


def check_applied(adapted: np.ndarray, bare: np.ndarray, what: str) -> None:
    """Prove that an adapter or projector changes scores (guarantee 2).

    Raises:
        DataError: there are no scores.
        ModelError: it changes none of the probe's scores.
    """
    if not len(bare):
        raise DataError(
            f"there is no row to prove adapters on: the probe of {what} is empty, as is the split that it is "
            "drawn from (valid in training, test in evaluate); prepare data that has rows there"
        )
    if np.allclose(adapted, bare, rtol=0, atol=1e-6):
        raise ModelError(
            f"{what} changes no score of the probe: it is untrained or not applied; train it again"
        )
